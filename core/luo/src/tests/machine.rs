//! A machine: boots, is called, jumps.

use alloc::boxed::Box;
use alloc::vec::Vec;

use kho::{Boot, Kho, Lifecycle, PageSize, ScratchAreas, SparseMemory, Visit};
use liveupdate_uapi::mainline as uapi;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::process::{ARGS, Process};
use super::recorder::{Recorder, Script};
use super::world::{File, PAGE, World};
use crate::{BootError, Config, Dialect, Errno, Luo, MemfdHandler, Object, SessionId, Target};

pub(super) type TestLuo = Luo<SparseMemory, File>;

/// Recording handlers there are: files of these kinds.
pub(super) const HANDLERS: [&str; 2] = ["h0", "h1"];

pub(super) struct Machine {
    pub(super) luo: TestLuo,
    pub(super) process: Process,
    pub(super) world: World,
    pub(super) script: Script,
    pub(super) config: Config,
}

fn kho_config(dialect: Dialect) -> kho::Config {
    let lifecycle = match dialect {
        Dialect::Mainline => Lifecycle::Stateless,
        Dialect::V4 => Lifecycle::Finalize,
    };
    kho::Config {
        lifecycle,
        ..kho::Config::default()
    }
}

fn no_scratch() -> ScratchAreas {
    ScratchAreas::new(Vec::new())
}

pub(super) fn name(text: &str) -> [u8; 64] {
    let mut name = [0; 64];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

impl Machine {
    pub(super) fn cold(config: Config) -> Self {
        let ram = 0x10_0000..0x4000_0000;
        let memory = SparseMemory::new(PageSize::Size4K, &[ram]);
        let config_of_kho = kho_config(config.dialect);
        let (kho, boot) = Kho::start(memory, no_scratch(), None, config_of_kho).unwrap();
        assert_eq!(boot, Boot::Cold);
        let (world, script) = (World::default(), Script::default());
        Self::boot(kho, config, world, script).unwrap()
    }

    pub(super) fn mainline() -> Self {
        Self::cold(Config::default())
    }

    /// With the recording handlers and that of memfds registered.
    fn boot(
        kho: Kho<SparseMemory>,
        config: Config,
        world: World,
        script: Script,
    ) -> Result<Self, BootError> {
        let mut luo = Luo::boot(kho, config)?;
        for (kind, name) in (0..).zip(HANDLERS) {
            let recorder = Recorder {
                name,
                kind,
                script: script.clone(),
                world: world.clone(),
            };
            luo.register_file_handler(Box::new(recorder)).unwrap();
        }
        let memfds = MemfdHandler::new(world.clone());
        luo.register_file_handler(Box::new(memfds)).unwrap();
        Ok(Self {
            luo,
            process: Process::new(),
            world,
            script,
            config,
        })
    }

    /// The kexec: the process is gone, memory stays.
    pub(super) fn jump(self) -> Self {
        self.try_jump().unwrap()
    }

    pub(super) fn try_jump(mut self) -> Result<Self, BootError> {
        self.luo.reboot().unwrap();
        self.kexec()
    }

    /// The rest of a jump.
    pub(super) fn kexec(self) -> Result<Self, BootError> {
        let was_complete = self.luo.kho().handoff().is_some();
        let (machine, boot) = self.kexec_with_boot()?;
        assert_eq!(boot == Boot::Handover, was_complete, "{boot:?}");
        Ok(machine)
    }

    /// The rest of a jump with a handover that may be refused.
    pub(super) fn kexec_damaged(self) -> Result<Self, BootError> {
        self.kexec_with_boot().map(|(machine, _)| machine)
    }

    fn kexec_with_boot(self) -> Result<(Self, Boot), BootError> {
        let handoff = self.luo.kho().handoff();
        let mut memory = self.luo.into_kho().into_memory();
        memory.forget_allocations();
        let kho_config = kho_config(self.config.dialect);
        let (mut kho, boot) =
            Kho::start(memory, no_scratch(), handoff.as_ref(), kho_config).unwrap();
        kho.memory_mut().clear_free();
        let machine = Self::boot(kho, self.config, self.world, self.script)?;
        Ok((machine, boot))
    }

    /// A command with an argument of the ordinary kind; the argument after it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "arguments are made where they are used"
    )]
    pub(super) fn call<T>(&mut self, target: Target, cmd: u32, args: T) -> Result<T, Errno>
    where
        T: IntoBytes + FromBytes + Immutable,
    {
        self.process.poke(ARGS, args.as_bytes());
        self.luo.ioctl(target, cmd, ARGS, &mut self.process)?;
        let answer = self.process.peek(ARGS, size_of::<T>());
        Ok(T::read_from_bytes(&answer).unwrap())
    }

    pub(super) fn session(&self, fd: i32) -> SessionId {
        match self.process.fds[&fd] {
            Object::Session(id) => id,
            ref other => panic!("{fd} is {other:?}"),
        }
    }

    pub(super) fn create(&mut self, text: &str) -> Result<i32, Errno> {
        let args = uapi::CreateSession {
            size: 72,
            fd: -1,
            name: name(text),
        };
        let answer = self.call(Target::Device, uapi::IOCTL_CREATE_SESSION, args)?;
        Ok(answer.fd)
    }

    pub(super) fn retrieve_session(&mut self, text: &str) -> Result<i32, Errno> {
        self.retrieve_named(text.as_bytes())
    }

    /// A name that may be no text.
    pub(super) fn retrieve_named(&mut self, bytes: &[u8]) -> Result<i32, Errno> {
        let mut name = [0; 64];
        name[..bytes.len()].copy_from_slice(bytes);
        let args = uapi::RetrieveSession {
            size: 72,
            fd: -1,
            name,
        };
        let answer = self.call(Target::Device, uapi::IOCTL_RETRIEVE_SESSION, args)?;
        Ok(answer.fd)
    }

    pub(super) fn preserve(&mut self, session: i32, token: u64, file: &File) -> Result<(), Errno> {
        let fd = self.process.give(Object::File(file.clone()));
        let preserved = self.preserve_fd(session, token, fd);
        self.process.fds.remove(&fd);
        preserved
    }

    pub(super) fn preserve_fd(&mut self, session: i32, token: u64, fd: i32) -> Result<(), Errno> {
        let args = uapi::PreserveFd {
            size: 16,
            fd,
            token,
        };
        let target = Target::Session(self.session(session));
        self.call(target, uapi::SESSION_PRESERVE_FD, args)
            .map(|_| ())
    }

    pub(super) fn retrieve(&mut self, session: i32, token: u64) -> Result<File, Errno> {
        let args = uapi::RetrieveFd {
            size: 16,
            fd: -1,
            token,
        };
        let target = Target::Session(self.session(session));
        let answer = self.call(target, uapi::SESSION_RETRIEVE_FD, args)?;
        let file = self.process.file(answer.fd);
        self.process.fds.remove(&answer.fd);
        Ok(file)
    }

    pub(super) fn finish(&mut self, session: i32) -> Result<(), Errno> {
        let args = uapi::Finish {
            size: 8,
            reserved: 0,
        };
        let target = Target::Session(self.session(session));
        self.call(target, uapi::SESSION_FINISH, args).map(|_| ())
    }

    /// Closes the only descriptor of a session.
    pub(super) fn close(&mut self, fd: i32) -> Result<(), Errno> {
        let id = self.session(fd);
        self.process.fds.remove(&fd);
        self.luo.release_session(id)
    }

    /// Bytes that somebody has allocated, but for the nodes of the tree, which never go.
    pub(super) fn used_bytes(&self) -> u64 {
        let kho = self.luo.kho();
        let memory = kho.memory();
        let ram: u64 = memory.ram().iter().map(|ram| ram.end - ram.start).sum();
        let visits = kho.tree().visit(memory).map(Result::unwrap);
        let nodes = visits
            .filter(|visit| matches!(visit, Visit::Node(_)))
            .count();
        ram - memory.free_bytes() - nodes as u64 * PAGE
    }

    /// Keys in the map of preserved memory.
    pub(super) fn keys(&self) -> usize {
        let kho = self.luo.kho();
        kho.tree().walk(kho.memory()).count()
    }
}

impl core::fmt::Debug for Machine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}
