//! Random calls against a simple model of what a machine should have.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use proptest::sample::Index;

use super::machine::Machine;
use super::process::ARGS;
use super::world::{File, PAGE};
use crate::{Config, Defects, Errno};

/// A session as it should be.
struct Expected {
    fd: i32,
    /// Token, and what the file is.
    files: Vec<(u64, File)>,
}

#[derive(Default)]
struct Model {
    sessions: BTreeMap<String, Expected>,
    /// Files of the world, preserved or not.
    files: Vec<File>,
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Preserve(Index, u64, Index),
    NewFile(u16, u8),
    Write(Index, Vec<u8>),
    Seek(Index, u64),
    Close(Index),
    /// A jump that a handler stops.
    FailedJump,
    /// The next allocations fail after so many.
    WithoutMemory(u64, Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        3 => (0..8_u8).prop_map(Step::Create),
        6 => (index(), 0..4_u64, index()).prop_map(|(at, token, file)| Step::Preserve(at, token, file)),
        3 => (0..20_000_u16, any::<u8>()).prop_map(|(size, fill)| Step::NewFile(size, fill)),
        2 => (index(), proptest::collection::vec(any::<u8>(), 1..50)).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        1 => (index(), any::<u64>()).prop_map(|(at, pos)| Step::Seek(at, pos >> 1)),
        2 => index().prop_map(Step::Close),
        1 => Just(Step::FailedJump),
        1 => (0..9_u64, index()).prop_map(|(left, file)| Step::WithoutMemory(left, file)),
    ]
}

impl Model {
    fn apply(&mut self, machine: &mut Machine, step: &Step) {
        match step {
            Step::Create(number) => self.create(machine, &format!("s{number}")),
            Step::NewFile(size, fill) => {
                let content = vec![*fill; usize::from(*size)];
                self.files.push(machine.world.memfd(&content));
            }
            Step::Preserve(session, token, file) if self.has_both() => {
                let file = file.get(&self.files).clone();
                self.preserve(machine, session, *token, &file);
            }
            Step::Write(file, bytes) if !self.files.is_empty() => {
                let file = file.get(&self.files);
                let size = usize::try_from(file.inode().size).unwrap();
                file.write(0, &bytes[..bytes.len().min(size)]);
            }
            Step::Seek(file, pos) if !self.files.is_empty() => file.get(&self.files).seek(*pos),
            Step::Close(session) if !self.sessions.is_empty() => {
                let name = self.name(session);
                let expected = self.sessions.remove(&name).unwrap();
                machine.close(expected.fd).unwrap();
            }
            Step::FailedJump => self.failed_jump(machine),
            Step::WithoutMemory(left, file) if self.has_both() => {
                let file = file.get(&self.files).clone();
                self.without_memory(machine, *left, &file);
            }
            _ => {}
        }
    }

    fn has_both(&self) -> bool {
        !self.files.is_empty() && !self.sessions.is_empty()
    }

    fn name(&self, index: &Index) -> String {
        let names: Vec<&String> = self.sessions.keys().collect();
        (*index.get(&names)).clone()
    }

    fn is_preserved(&self, file: &File) -> bool {
        let mut all = self.sessions.values().flat_map(|session| &session.files);
        all.any(|(_, preserved)| preserved == file)
    }

    fn create(&mut self, machine: &mut Machine, name: &str) {
        let answer = machine.create(name);
        if self.sessions.contains_key(name) {
            assert_eq!(answer, Err(Errno::EEXIST));
            return;
        }
        let files = Vec::new();
        let fd = answer.unwrap();
        self.sessions.insert(name.into(), Expected { fd, files });
    }

    fn preserve(&mut self, machine: &mut Machine, session: &Index, token: u64, file: &File) {
        let is_preserved = self.is_preserved(file);
        let name = self.name(session);
        let expected = self.sessions.get_mut(&name).unwrap();
        let answer = machine.preserve(expected.fd, token, file);
        if expected.files.iter().any(|(used, _)| *used == token) {
            assert_eq!(answer, Err(Errno::EEXIST));
        } else if is_preserved {
            assert_eq!(answer, Err(Errno::EBUSY));
        } else {
            assert_eq!(answer, Ok(()));
            expected.files.push((token, file.clone()));
        }
    }

    /// Every preserved file is read, so this stops the first.
    fn failed_jump(&self, machine: &mut Machine) {
        let mut files = self.sessions.values().flat_map(|session| &session.files);
        if files.any(|(_, file)| file.inode().size != 0) {
            machine.world.read_error.set(Some(Errno::EIO));
            assert_eq!(machine.luo.reboot(), Err(Errno::EIO));
            machine.world.read_error.set(None);
        }
    }

    fn without_memory(&mut self, machine: &mut Machine, left: u64, file: &File) {
        if self.is_preserved(file) {
            return;
        }
        let first = self.sessions.values_mut().next().unwrap();
        let before = (machine.used_bytes(), machine.keys());
        machine
            .luo
            .kho_mut()
            .memory_mut()
            .limit_allocations(Some(left));
        let answer = machine.preserve(first.fd, u64::MAX, file);
        machine.luo.kho_mut().memory_mut().limit_allocations(None);
        match answer {
            Ok(()) => first.files.push((u64::MAX, file.clone())),
            Err(errno) => {
                assert!([Errno::ENOMEM, Errno::EEXIST].contains(&errno));
                assert_eq!((machine.used_bytes(), machine.keys()), before);
            }
        }
    }

    /// What was handed over is all there, once; then no more memory is used than at first.
    fn check_next(&self, machine: &mut Machine, used_at_first: u64, defects: Defects) {
        let unclaimed = |machine: &Machine| machine.luo.kho().unclaimed().count();
        machine.luo.open().unwrap();
        assert_eq!(machine.luo.sessions().len(), self.sessions.len());
        for (index, (name, expected)) in self.sessions.iter().enumerate() {
            let fd = machine.retrieve_session(name).unwrap();
            let retrieves = index % 3 != 2;
            for (token, old) in expected.files.iter().filter(|_| retrieves) {
                let file = machine.retrieve(fd, *token).unwrap();
                assert!(file.content() == old.content());
                assert_eq!(file.pos(), old.pos());
            }
            if index % 2 == 0 {
                machine.finish(fd).unwrap();
            }
            machine.close(fd).unwrap();
        }
        // The FLB page.
        let kept = usize::from(defects.keeps_flb_page);
        assert_eq!(unclaimed(machine), kept);
        assert_eq!(machine.used_bytes(), used_at_first + kept as u64 * PAGE);
        assert_eq!(machine.luo.sessions(), []);
    }
}

proptest! {
    #[test]
    fn what_was_preserved_is_retrieved_and_nothing_leaks(
        steps in proptest::collection::vec(step(), 0..60),
        is_7_3_4 in any::<bool>(),
    ) {
        let defects = if is_7_3_4 { Defects::like_7_3_4() } else { Defects::default() };
        let mut machine = Machine::cold(Config { defects, ..Config::default() });
        let before = (machine.used_bytes(), machine.keys());
        let mut model = Model::default();
        for step in &steps {
            model.apply(&mut machine, step);
            let live = machine.luo.sessions();
            let tokens = |name: &Vec<u8>| {
                let name = core::str::from_utf8(name).unwrap();
                model.sessions[name].files.iter().map(|(token, _)| *token).collect::<Vec<_>>()
            };
            prop_assert_eq!(live.len(), model.sessions.len());
            for session in live {
                prop_assert_eq!(&session.tokens, &tokens(&session.name));
            }
        }
        let frozen = |file: &&File| file.inode().frozen == 1;
        let preserved = model.files.iter().filter(frozen).count();
        prop_assert_eq!(preserved, model.sessions.values().map(|it| it.files.len()).sum::<usize>());
        if steps.len() % 2 == 0 {
            for session in model.sessions.values() {
                machine.close(session.fd).unwrap();
            }
            prop_assert_eq!((machine.used_bytes(), machine.keys()), before);
            prop_assert!(model.files.iter().all(|file| file.inode().frozen == 0));
        } else {
            let mut machine = machine.jump();
            model.check_next(&mut machine, before.0, defects);
        }
    }

    /// Whatever a program passes, there is an answer.
    #[test]
    fn any_argument_has_an_answer(
        calls in proptest::collection::vec((any::<bool>(), any::<u8>(), any::<[u8; 128]>(), 0..200_u32), 1..40),
    ) {
        let mut machine = Machine::mainline();
        machine.create("a").unwrap();
        for (on_device, number, bytes, size) in calls {
            let target = if on_device {
                crate::Target::Device
            } else {
                crate::Target::Session(machine.session(0))
            };
            machine.process.clear();
            machine.process.poke(ARGS, &bytes);
            machine.process.poke(ARGS, &size.to_ne_bytes());
            let cmd = 0xBA00 | u32::from(number % 0x50);
            let _answer = machine.luo.ioctl(target, cmd, ARGS, &mut machine.process);
        }
        machine.luo.reboot().unwrap();
    }
}
