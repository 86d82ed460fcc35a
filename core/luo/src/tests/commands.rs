//! What each command checks, in which order, and what it answers (`luo_ioctl()`,
//! `luo_session_ioctl()`, v7.3).

use alloc::vec;
use alloc::vec::Vec;

use liveupdate_uapi::mainline as uapi;
use zerocopy::IntoBytes;

use super::machine::{Machine, name};
use super::process::{ARGS, Process};
use super::world::{Kind, PAGE};
use crate::{Errno, Object, Target};

const NO_ANSWER: &[&str] = &[];

/// A machine with an outgoing session at descriptor 0 and an incoming one, retrieved, at 1.
fn both_directions() -> Machine {
    let mut machine = Machine::mainline();
    let fd = machine.create("incoming").unwrap();
    let file = machine.world.file(Kind::Recorded(0));
    machine.preserve(fd, 5, &file).unwrap();
    let mut machine = machine.jump();
    machine.luo.open().unwrap();
    assert_eq!(machine.create("outgoing"), Ok(0));
    assert_eq!(machine.retrieve_session("incoming"), Ok(1));
    machine.script.take();
    machine.process.asked.clear();
    machine
}

fn targets(machine: &Machine) -> [Target; 3] {
    [
        Target::Device,
        Target::Session(machine.session(0)),
        Target::Session(machine.session(1)),
    ]
}

/// Every command: number, bytes, and on which of [`targets`] it works.
const COMMANDS: [(u32, u32, &[usize]); 6] = [
    (uapi::IOCTL_CREATE_SESSION, 72, &[0]),
    (uapi::IOCTL_RETRIEVE_SESSION, 72, &[0]),
    (uapi::SESSION_PRESERVE_FD, 16, &[1]),
    (uapi::SESSION_RETRIEVE_FD, 16, &[2]),
    (uapi::SESSION_FINISH, 8, &[2]),
    (uapi::SESSION_GET_NAME, 72, &[1, 2]),
];

#[test]
fn numbers_outside_the_table_are_einval_before_anything_is_read() {
    let mut machine = both_directions();
    let [device, outgoing, incoming] = targets(&machine);
    let tables = [
        (device, vec![0x02, 0x3f, 0x40, 0xff]),
        (outgoing, vec![0x00, 0x01, 0x3f, 0x44, 0xff]),
        (incoming, vec![0x00, 0x3f, 0x44]),
    ];
    for (target, numbers) in tables {
        for number in numbers {
            for kind in [0xBA00, 0x5400, 0xC000_BA00] {
                let answer = machine
                    .luo
                    .ioctl(target, kind | number, 0, &mut machine.process);
                assert_eq!(
                    answer,
                    Err(Errno::EINVAL),
                    "{target:?} {:#x}",
                    kind | number
                );
            }
        }
    }
}

#[test]
fn the_size_is_read_before_the_type_is_looked_at() {
    let mut machine = both_directions();
    let [device, outgoing, _] = targets(&machine);
    for (target, cmd) in [(device, 0x5401), (outgoing, 0x5440), (device, 0x4000_BA00)] {
        let mut call = |arg| machine.luo.ioctl(target, cmd, arg, &mut machine.process);
        assert_eq!(call(0), Err(Errno::EFAULT));
        assert_eq!(call(Process::end_of_memory() - 3), Err(Errno::EFAULT));
        assert_eq!(call(u64::MAX - 1), Err(Errno::EFAULT));
        assert_eq!(call(ARGS), Err(Errno::ENOTTY));
    }
    // What isatty() asks: a session answers otherwise than the device.
    let answer = machine
        .luo
        .ioctl(outgoing, 0x5401, ARGS, &mut machine.process);
    assert_eq!(answer, Err(Errno::EINVAL));
}

#[test]
fn the_direction_comes_before_the_size_and_the_size_before_the_rest() {
    let mut machine = both_directions();
    let targets = targets(&machine);
    for (cmd, size, works_on) in COMMANDS {
        for (index, &target) in targets.iter().enumerate() {
            if (index == 0) != (cmd & 0xff < 0x40) {
                continue;
            }
            let mut call = |size: u32, at: u64| {
                machine.process.poke(at, &size.to_ne_bytes());
                machine.luo.ioctl(target, cmd, at, &mut machine.process)
            };
            let short = call(size - 1, ARGS);
            let none = call(0, ARGS);
            // Cut by the end of memory.
            let cut = call(size, Process::end_of_memory() - 4);
            let expected = match works_on.contains(&index) {
                true => [Errno::EINVAL, Errno::EINVAL, Errno::EFAULT],
                false => [Errno::EINVAL; 3],
            };
            assert_eq!([short, none, cut], expected.map(Err), "{cmd:#x} {index}");
        }
    }
    assert_eq!(machine.process.asked, NO_ANSWER);
}

#[test]
fn a_longer_argument_is_taken_when_its_end_is_zeros() {
    let mut machine = both_directions();
    let target = Target::Session(machine.session(0));
    machine.process.clear();
    let call = |machine: &mut Machine, size: u32| {
        machine.process.poke(ARGS, &size.to_ne_bytes());
        machine
            .luo
            .ioctl(target, uapi::SESSION_GET_NAME, ARGS, &mut machine.process)
    };
    for size in [73, 4096, 4 * 4096] {
        assert_eq!(call(&mut machine, size), Ok(()), "{size}");
        assert_eq!(machine.process.peek(ARGS + 8, 9), b"outgoing\0");
        machine.process.poke(ARGS + u64::from(size) - 1, &[1]);
        assert_eq!(call(&mut machine, size), Err(Errno::E2BIG), "{size}");
        machine.process.poke(ARGS + u64::from(size) - 1, &[0]);
    }
    // Four pages are mapped; what is wrong first is told.
    assert_eq!(call(&mut machine, 4 * 4096 + 1), Err(Errno::EFAULT));
    assert_eq!(call(&mut machine, u32::MAX), Err(Errno::EFAULT));
    machine.process.poke(ARGS + 72, &[1]);
    assert_eq!(call(&mut machine, u32::MAX), Err(Errno::E2BIG));
    // Only what the kernel knows is written back.
    machine.process.poke(ARGS + 72, &[0]);
    machine.process.read_only.insert(ARGS + PAGE);
    assert_eq!(call(&mut machine, 4096 + 72), Ok(()));
}

#[test]
fn create_wants_a_descriptor_then_a_name_then_a_name_that_is_free() {
    let mut machine = Machine::mainline();
    machine.process.limit = 0;
    assert_eq!(machine.create(""), Err(Errno::EMFILE));
    machine.process.limit = 10;
    let mut call = |name: [u8; 64]| {
        let args = uapi::CreateSession {
            size: 72,
            fd: 77,
            name,
        };
        machine
            .call(Target::Device, uapi::IOCTL_CREATE_SESSION, args)
            .map(|answer| answer.fd)
    };
    assert_eq!(call([0; 64]), Err(Errno::EINVAL));
    assert_eq!(call([b'X'; 64]), Err(Errno::EINVAL));
    let mut longest = [b'X'; 64];
    longest[63] = 0;
    assert_eq!(call(longest), Ok(0));
    assert_eq!(call(longest), Err(Errno::EEXIST));
    assert_eq!(call(name("a")), Ok(1));
    // What is behind the first NUL is no part of the name.
    let mut dirty = name("a");
    dirty[5] = b'x';
    assert_eq!(call(dirty), Err(Errno::EEXIST));
    let id = Target::Session(machine.session(0));
    let args = uapi::GetName {
        size: 72,
        reserved: 0,
        name: [1; 64],
    };
    let answer = machine.call(id, uapi::SESSION_GET_NAME, args).unwrap();
    assert_eq!(answer.name, longest);
}

#[test]
fn a_created_session_whose_answer_faults_is_gone() {
    let mut machine = Machine::mainline();
    machine.process.read_only.insert(ARGS);
    assert_eq!(machine.create("a"), Err(Errno::EFAULT));
    machine.process.read_only.clear();
    assert!(machine.luo.sessions().is_empty());
    assert_eq!(machine.create("a"), Ok(0));
}

#[test]
fn names_are_unique_for_each_direction() {
    let mut machine = both_directions();
    assert!(machine.create("incoming").is_ok());
    assert_eq!(machine.create("incoming"), Err(Errno::EEXIST));
}

#[test]
fn retrieve_session_wants_a_descriptor_then_a_session_nobody_has() {
    let mut machine = both_directions();
    let call = |machine: &mut Machine, name: [u8; 64]| {
        let args = uapi::RetrieveSession {
            size: 72,
            fd: 77,
            name,
        };
        machine
            .call(Target::Device, uapi::IOCTL_RETRIEVE_SESSION, args)
            .map(|answer| answer.fd)
    };
    machine.process.limit = 2;
    assert_eq!(call(&mut machine, name("nobody")), Err(Errno::EMFILE));
    assert_eq!(call(&mut machine, name("incoming")), Err(Errno::EMFILE));
    machine.process.limit = 3;
    for unknown in [name("nobody"), name("outgoing"), [0; 64], [b'X'; 64]] {
        assert_eq!(call(&mut machine, unknown), Err(Errno::ENOENT));
    }
    assert_eq!(call(&mut machine, name("incoming")), Err(Errno::EINVAL));
    machine.finish(1).unwrap();
    assert_eq!(call(&mut machine, name("incoming")), Err(Errno::EINVAL));
    machine.close(1).unwrap();
    assert_eq!(call(&mut machine, name("incoming")), Err(Errno::ENOENT));
}

#[test]
fn preserve_looks_at_the_token_before_the_descriptor() {
    let mut machine = Machine::mainline();
    let session = machine.create("a").unwrap();
    let file = machine.world.file(Kind::Recorded(0));
    for token in [0, u64::MAX] {
        let file = machine.world.file(Kind::Recorded(0));
        machine.preserve(session, token, &file).unwrap();
    }
    assert_eq!(machine.preserve_fd(session, 0, 99), Err(Errno::EEXIST));
    assert_eq!(machine.preserve_fd(session, 1, 99), Err(Errno::EBADF));
    assert_eq!(machine.preserve_fd(session, 1, -1), Err(Errno::EBADF));
    // LUO's own descriptors, and what no handler knows.
    assert_eq!(machine.preserve_fd(session, 1, session), Err(Errno::ENOENT));
    let device = machine.process.give(Object::Device);
    assert_eq!(machine.preserve_fd(session, 1, device), Err(Errno::ENOENT));
    let null = machine.world.file(Kind::Null);
    assert_eq!(machine.preserve(session, 1, &null), Err(Errno::ENOENT));
    let unknown = machine.world.file(Kind::Recorded(9));
    assert_eq!(machine.preserve(session, 1, &unknown), Err(Errno::ENOENT));
    // The object, however it was opened, in whatever session.
    machine.preserve(session, 1, &file).unwrap();
    let other = machine.create("b").unwrap();
    assert_eq!(
        machine.preserve(other, 1, &file.reopen()),
        Err(Errno::EBUSY)
    );
    assert_eq!(machine.preserve(session, 2, &file), Err(Errno::EBUSY));
    machine.close(session).unwrap();
    assert_eq!(machine.preserve(other, 1, &file), Ok(()));
}

#[test]
fn a_handler_whose_module_goes_takes_no_file() {
    let mut machine = Machine::mainline();
    let session = machine.create("a").unwrap();
    let file = machine.world.file(Kind::Recorded(1));
    machine.script.fail("h1 going", Errno::ENODEV);
    assert_eq!(machine.preserve(session, 1, &file), Err(Errno::ENOENT));
    machine.script.heal();
    assert_eq!(machine.preserve(session, 1, &file), Ok(()));
}

#[test]
fn a_preserved_file_whose_answer_faults_stays_preserved() {
    let mut machine = Machine::mainline();
    let session = machine.create("a").unwrap();
    let file = machine.world.file(Kind::Recorded(0));
    machine.process.read_only.insert(ARGS);
    assert_eq!(machine.preserve(session, 3, &file), Err(Errno::EFAULT));
    machine.process.read_only.clear();
    assert_eq!(machine.preserve(session, 3, &file), Err(Errno::EEXIST));
    assert_eq!(machine.luo.sessions()[0].tokens, [3]);
}

#[test]
fn retrieve_wants_a_descriptor_then_a_token_and_gives_the_same_file_again() {
    let mut machine = both_directions();
    machine.process.limit = 2;
    assert_eq!(machine.retrieve(1, 6), Err(Errno::EMFILE));
    machine.process.limit = 4;
    assert_eq!(machine.retrieve(1, 6), Err(Errno::ENOENT));
    machine.process.read_only.insert(ARGS);
    assert_eq!(machine.retrieve(1, 5), Err(Errno::EFAULT));
    machine.process.read_only.clear();
    let file = machine.retrieve(1, 5).unwrap();
    let again = machine.retrieve(1, 5).unwrap();
    assert!(file == again);
    let lines = machine.script.take();
    assert_eq!(lines.len(), 1, "the handler is asked once: {lines:?}");
    // LUO has a reference until the session is finished; so nobody can preserve it.
    assert_eq!(machine.preserve(0, 1, &file), Err(Errno::EBUSY));
    assert_eq!(file.references(), 3);
    machine.finish(1).unwrap();
    assert_eq!(file.references(), 2);
    assert_eq!(machine.preserve(0, 1, &file), Ok(()));
    assert_eq!(machine.retrieve(1, 5), Err(Errno::ENOENT));
    assert_eq!(machine.finish(1), Ok(()));
}

#[test]
fn a_failed_retrieve_fails_the_same_way_forever() {
    let mut machine = both_directions();
    let data = 1001;
    let line = alloc::format!("h0 retrieve {data}");
    machine.script.fail(&line, Errno::ENODATA);
    assert_eq!(machine.retrieve(1, 5), Err(Errno::ENODATA));
    machine.script.heal();
    assert_eq!(machine.retrieve(1, 5), Err(Errno::ENODATA));
    machine.finish(1).unwrap();
    let expected = [line.as_str(), "h0 can_finish 1001", "h0 finish failed 1001"];
    assert_eq!(machine.script.take(), expected);
}

#[test]
fn reserved_words_must_be_zero() {
    let mut machine = both_directions();
    let target = Target::Session(machine.session(1));
    machine.process.clear();
    for cmd in [uapi::SESSION_FINISH, uapi::SESSION_GET_NAME] {
        machine.process.poke(ARGS, [72_u32, 1].as_bytes());
        let answer = machine.luo.ioctl(target, cmd, ARGS, &mut machine.process);
        assert_eq!(answer, Err(Errno::EINVAL));
    }
    assert_eq!(machine.script.take(), Vec::<&str>::new());
}

#[test]
fn the_device_is_open_once() {
    let mut machine = Machine::mainline();
    machine.luo.open().unwrap();
    assert_eq!(machine.luo.open(), Err(Errno::EBUSY));
    let session = machine.create("a").unwrap();
    machine.luo.release_device();
    // Sessions do not need it.
    let file = machine.world.file(Kind::Recorded(0));
    machine.preserve(session, 1, &file).unwrap();
    machine.luo.open().unwrap();
}

#[test]
fn after_the_jump_has_begun_no_call_is_answered_but_wrong_ones() {
    let mut machine = both_directions();
    machine.luo.reboot().unwrap();
    assert_eq!(machine.luo.reboot(), Err(Errno::ERESTARTSYS));
    assert_eq!(machine.create(""), Err(Errno::EINVAL));
    assert_eq!(machine.create("b"), Err(Errno::ERESTARTSYS));
    assert_eq!(machine.retrieve_session("nobody"), Err(Errno::ERESTARTSYS));
    assert_eq!(machine.finish(0), Err(Errno::EINVAL));
    assert_eq!(machine.finish(1), Err(Errno::ERESTARTSYS));
    assert_eq!(machine.preserve_fd(0, 5, 99), Err(Errno::ERESTARTSYS));
    assert_eq!(machine.close(0), Err(Errno::ERESTARTSYS));
}
