//! A machine that receives a handover to its last file: what was verified must arrive.

use std::collections::BTreeMap;
use std::ops::Range;

use kho::{Boot, BootError, Config, Handoff, Kho, KhoDefects, ScratchAreas, SparseMemory};
use liveupdate_uapi::mainline::{IOCTL_RETRIEVE_SESSION, SESSION_RETRIEVE_FD};
use luo::{
    Caller, Errno, Fault, InstallError, Luo, MemfdHandler, Object, SessionId, ShmemFiles,
    ShmemState, Target,
};

use crate::recorded::ROOT;

/// What can be received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It needs memory that the machine does not have.
    NoMemory,
    /// Everything, with this many files.
    Files(u64),
    /// Not everything.
    Refused(String),
}

/// Receives the handover in `memory`: every session, every file.
pub(crate) fn receive(memory: SparseMemory, blocks: u64) -> Received {
    let handoff = Handoff {
        fdt: ROOT,
        scratch: Vec::new(),
    };
    let scratch = ScratchAreas::default();
    // Every block is counted, those that are given back at once as well.
    let config = Config {
        defects: KhoDefects {
            keeps_received: true,
            ..KhoDefects::default()
        },
        ..Config::default()
    };
    let kho = match Kho::start(memory, scratch, Some(&handoff), config) {
        Ok((kho, Boot::Handover)) => kho,
        Ok((_, Boot::Refused(BootError::Memory(_)))) => return Received::NoMemory,
        other => return Received::Refused(format!("{:?}", other.map(|(_, boot)| boot))),
    };
    let received = u64::try_from(kho.unclaimed().count());
    if received != Ok(blocks) {
        return Received::Refused(format!("{received:?} blocks instead of {blocks}"));
    }
    let answer = Luo::boot(kho, luo::Config::default());
    let mut luo: Luo<SparseMemory, u64> = match answer {
        Ok(luo) => luo,
        Err(error) => return Received::Refused(error.to_string()),
    };
    match retrieve(&mut luo) {
        Ok(files) => Received::Files(files),
        Err(errno) => Received::Refused(errno.to_string()),
    }
}

fn retrieve(luo: &mut Luo<SparseMemory, u64>) -> Result<u64, Errno> {
    luo.register_file_handler(Box::new(MemfdHandler::new(Files::default())))?;
    luo.open()?;
    let mut files = 0;
    for session in luo.sessions() {
        let mut process = Process::default();
        process.put(0, &72_u32.to_ne_bytes());
        process.put(8, &session.name);
        // Names of 64 bytes have no room for their end; nobody can ask for them.
        luo.ioctl(Target::Device, IOCTL_RETRIEVE_SESSION, 0, &mut process)?;
        let Some(Object::Session(id)) = process.installed else {
            return Err(Errno::EINVAL);
        };
        for token in &session.tokens {
            let mut process = Process::default();
            process.put(0, &16_u32.to_ne_bytes());
            process.put(8, &token.to_ne_bytes());
            let target = Target::Session(id);
            luo.ioctl(target, SESSION_RETRIEVE_FD, 0, &mut process)?;
            files += 1;
        }
        let _id: SessionId = id;
    }
    Ok(files)
}

/// A process with 72 bytes of memory at address 0.
#[derive(Default)]
struct Process {
    memory: BTreeMap<u64, u8>,
    installed: Option<Object<u64>>,
}

impl Process {
    fn put(&mut self, addr: u64, bytes: &[u8]) {
        self.memory.extend((addr..).zip(bytes.iter().copied()));
    }
}

impl Caller for Process {
    type File = u64;

    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        for (at, byte) in (addr..).zip(bytes) {
            *byte = self.memory.get(&at).copied().unwrap_or(0);
        }
        Ok(())
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.put(addr, bytes);
        Ok(())
    }

    fn reserve_fd(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    fn object(&mut self, _fd: i32) -> Result<Object<u64>, Errno> {
        Err(Errno::EBADF)
    }

    fn install(
        &mut self,
        object: Object<u64>,
        addr: u64,
        answer: &mut [u8],
        _fd_offset: usize,
    ) -> Result<(), InstallError> {
        self.installed = Some(object);
        Ok(self.write(addr, answer)?)
    }
}

/// Files that remember their size only: content must fit in it.
#[derive(Default)]
struct Files {
    sizes: BTreeMap<u64, u64>,
}

impl ShmemFiles for Files {
    type File = u64;

    fn shmem(&mut self, _file: &u64) -> Option<ShmemState> {
        None
    }

    fn freeze(&mut self, _file: &u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn thaw(&mut self, _file: &u64) {}

    fn data(&mut self, _file: &u64, _offset: u64) -> Option<Range<u64>> {
        None
    }

    fn read_at(&mut self, _file: &u64, _offset: u64, _bytes: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn create(&mut self, size: u64, _mode: u32) -> Result<u64, Errno> {
        let file = u64::try_from(self.sizes.len()).unwrap_or(0);
        self.sizes.insert(file, size);
        Ok(file)
    }

    fn write_at(&mut self, file: &u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let size = self.sizes.get(file).copied().unwrap_or(0);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = offset.checked_add(length);
        assert!(end.is_some_and(|end| end <= size), "content behind the end");
        Ok(())
    }

    fn finish_create(&mut self, _file: &u64, _pos: u64, _seals: u32) -> Result<(), Errno> {
        Ok(())
    }
}
