//! Each defect of Linux 7.3.4, avoided and reproduced.

use alloc::boxed::Box;
use alloc::format;

use kho::{BlockError, KhoError};

use super::machine::Machine;
use super::process::ARGS;
use super::recorder::RecorderFlb;
use super::world::Kind;
use crate::handler::HandlerId;
use crate::{BootError, Config, Defects, Errno};

fn machine(defects: Defects) -> Machine {
    Machine::cold(Config {
        defects,
        ..Config::default()
    })
}

#[test]
fn a_taken_name_makes_the_next_kernel_panic_in_7_3_4_only() {
    let jump = |defects, taken| {
        let mut machine = machine(defects);
        for index in 0..51 {
            machine.create(&format!("s{index}")).unwrap();
        }
        if taken {
            assert_eq!(machine.create("s7"), Err(Errno::EEXIST));
        }
        machine.try_jump().map(|mut machine| {
            machine.luo.open().unwrap();
            machine.luo.sessions().len()
        })
    };
    assert_eq!(jump(Defects::default(), true), Ok(51));
    assert_eq!(jump(Defects::like_7_3_4(), false), Ok(51));
    let panic = jump(Defects::like_7_3_4(), true);
    let count =
        |error: &KhoError| matches!(error, KhoError::Block(BlockError::Count { count: 0, .. }));
    assert!(
        matches!(&panic, Err(BootError::Sessions(error)) if count(error)),
        "{panic:?}"
    );
}

#[test]
fn a_memfd_that_must_not_execute_comes_back_read_only_in_7_3_4_only() {
    let jump = |defects, mode, seals| {
        let mut machine = machine(defects);
        let session = machine.create("a").unwrap();
        let file = machine.world.memfd(b"content");
        file.inode().mode = mode;
        file.inode().seals = seals;
        machine.preserve(session, 0, &file).unwrap();
        let mut machine = machine.jump();
        machine.luo.open().unwrap();
        let session = machine.retrieve_session("a").unwrap();
        let file = machine.retrieve(session, 0).unwrap();
        let inode = file.inode();
        (inode.mode, inode.seals)
    };
    // What MFD_NOEXEC_SEAL makes.
    assert_eq!(jump(Defects::default(), 0o666, 0x20), (0o666, 0x20));
    assert_eq!(jump(Defects::like_7_3_4(), 0o666, 0x20), (0o777, 0x3e));
    // What F_SEAL_EXEC on an executable file makes, and files without it.
    for defects in [Defects::default(), Defects::like_7_3_4()] {
        for seals in [0x3e, 0x3f, 0x00, 0x01, 0x06] {
            assert_eq!(jump(defects, 0o777, seals), (0o777, seals));
        }
    }
}

#[test]
fn a_seal_that_is_added_later_is_lost_in_7_3_4_only() {
    for (defects, expected) in [(Defects::default(), 0x06), (Defects::like_7_3_4(), 0x02)] {
        let mut machine = machine(defects);
        let session = machine.create("a").unwrap();
        let file = machine.world.memfd(b"content");
        file.inode().seals = 0x02;
        machine.preserve(session, 0, &file).unwrap();
        file.inode().seals = 0x06;
        let mut machine = machine.jump();
        machine.luo.open().unwrap();
        let session = machine.retrieve_session("a").unwrap();
        let file = machine.retrieve(session, 0).unwrap();
        assert_eq!(file.inode().seals, expected);
    }
}

#[test]
fn a_fault_destroys_the_session_in_7_3_4_only() {
    for (defects, survives) in [(Defects::default(), true), (Defects::like_7_3_4(), false)] {
        let mut machine = machine(defects);
        let session = machine.create("a").unwrap();
        let file = machine.world.file(Kind::Recorded(0));
        machine.preserve(session, 0, &file).unwrap();
        let mut machine = machine.jump();
        machine.luo.open().unwrap();
        machine.script.take();
        machine.process.read_only.insert(ARGS);
        assert_eq!(machine.retrieve_session("a"), Err(Errno::EFAULT));
        machine.process.read_only.clear();
        let again = machine.retrieve_session("a");
        if survives {
            assert!(machine.script.take().is_empty());
            assert!(machine.retrieve(again.unwrap(), 0).is_ok());
        } else {
            assert_eq!(again, Err(Errno::ENOENT));
            let expected = ["h0 can_finish 1001", "h0 discard 1001"];
            assert_eq!(machine.script.take(), expected);
        }
    }
}

#[test]
fn an_flb_nobody_asked_for_is_never_finished_in_7_3_4_only() {
    for (defects, is_finished) in [(Defects::default(), true), (Defects::like_7_3_4(), false)] {
        let add_flb = |machine: &mut Machine| {
            let script = machine.script.clone();
            let flb = RecorderFlb {
                name: "v0",
                number: 1,
                script,
            };
            let flb = machine.luo.add_flb(Box::new(flb));
            machine.luo.register_flb(HandlerId(0), flb).unwrap();
            flb
        };
        let mut machine = machine(defects);
        add_flb(&mut machine);
        let session = machine.create("a").unwrap();
        for token in 0..2 {
            let file = machine.world.file(Kind::Recorded(0));
            machine.preserve(session, token, &file).unwrap();
        }
        let mut machine = machine.jump();
        let flb = add_flb(&mut machine);
        machine.luo.open().unwrap();
        machine.script.take();
        let session = machine.retrieve_session("a").unwrap();
        machine.finish(session).unwrap();
        let mut lines = machine.script.take();
        lines.retain(|line| line.starts_with('v'));
        let late = machine.luo.context().flb_get_incoming(flb);
        if is_finished {
            assert_eq!(lines, ["v0 retrieve", "v0 finish"]);
            assert_eq!(late, Err(Errno::ENODATA));
        } else {
            assert!(lines.is_empty(), "{lines:?}");
            assert_eq!(late, Ok(100), "counted anew, with nobody left to finish it");
        }
    }
}
