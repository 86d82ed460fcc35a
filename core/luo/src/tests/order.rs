//! What is asked of handlers and FLBs, in which order, and what is taken back (spec of the
//! kernel: `luo_file.c`, `luo_flb.c`, `luo_session.c`, v7.3).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::machine::Machine;
use super::recorder::RecorderFlb;
use super::world::{File, Kind};
use crate::handler::HandlerId;
use crate::{Errno, Flb, FlbId};
use kho::SparseMemory;

const FLBS: [&str; 3] = ["v0", "v1", "v2"];

/// Three FLBs, each linked to both recording handlers, as the kernel's own test does it
/// (`lib/tests/liveupdate.c`).
fn add_flbs(machine: &mut Machine) -> Vec<FlbId> {
    let flbs: Vec<FlbId> = (1..)
        .zip(FLBS)
        .map(|(number, name)| machine.luo.add_flb(flb(machine, name, number)))
        .collect();
    for handler in [0, 1].map(HandlerId) {
        for &flb in &flbs {
            machine.luo.register_flb(handler, flb).unwrap();
        }
    }
    flbs
}

fn flb(machine: &Machine, name: &'static str, number: u64) -> Box<dyn Flb<SparseMemory>> {
    let script = machine.script.clone();
    Box::new(RecorderFlb {
        name,
        number,
        script,
    })
}

/// Sessions "s0", "s1", ... with as many files each; their tokens count from 0.
fn preserve_files(machine: &mut Machine, counts: &[u64]) -> Vec<i32> {
    let mut sessions = Vec::new();
    for (index, &count) in counts.iter().enumerate() {
        let session = machine.create(&format!("s{index}")).unwrap();
        for token in 0..count {
            let file = machine.world.file(Kind::Recorded(0));
            machine.preserve(session, token, &file).unwrap();
        }
        sessions.push(session);
    }
    sessions
}

/// "h0 freeze 1" for each of the numbers, in their order.
fn lines(what: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let line = |number| format!("h0 {what} {number}");
    numbers.into_iter().map(line).collect()
}

#[test]
fn files_are_unpreserved_last_first_and_flbs_in_reverse() {
    let mut machine = Machine::mainline();
    add_flbs(&mut machine);
    let session = preserve_files(&mut machine, &[2])[0];
    let other = machine.world.file(Kind::Recorded(1));
    machine.preserve(session, 9, &other).unwrap();
    let preserved = [
        "v0 preserve",
        "v1 preserve",
        "v2 preserve",
        "h0 preserve 1",
        "h0 preserve 2",
        "h1 preserve 3",
    ];
    assert_eq!(machine.script.take(), preserved);
    machine.close(session).unwrap();
    let unpreserved = [
        "h1 unpreserve 3",
        "h0 unpreserve 2",
        "h0 unpreserve 1",
        "v2 unpreserve",
        "v1 unpreserve",
        "v0 unpreserve",
    ];
    assert_eq!(machine.script.take(), unpreserved);
}

#[test]
fn a_preserve_that_fails_at_any_step_leaves_nothing() {
    let steps = ["v0 preserve", "v1 preserve", "v2 preserve", "h0 preserve 1"];
    let mut machine = Machine::mainline();
    add_flbs(&mut machine);
    let session = machine.create("a").unwrap();
    let file = machine.world.file(Kind::Recorded(0));
    let (used, keys) = (machine.used_bytes(), machine.keys());
    for (failing, step) in steps.iter().enumerate() {
        machine.script.fail(step, Errno(77));
        assert_eq!(machine.preserve(session, 1, &file), Err(Errno(77)));
        machine.script.heal();
        let mut expected: Vec<String> = steps[..=failing].iter().map(|&it| it.into()).collect();
        let undone = FLBS.iter().take(failing.min(3)).rev();
        expected.extend(undone.map(|flb| format!("{flb} unpreserve")));
        assert_eq!(machine.script.take(), expected);
        assert_eq!(
            (machine.used_bytes(), machine.keys()),
            (used, keys),
            "{step}"
        );
        assert_eq!(file.references(), 1);
    }
    assert_eq!(machine.preserve(session, 1, &file), Ok(()));
}

#[test]
fn an_flb_whose_module_goes_fails_the_file() {
    let mut machine = Machine::mainline();
    add_flbs(&mut machine);
    let session = machine.create("a").unwrap();
    let file = machine.world.file(Kind::Recorded(0));
    machine.script.fail("v1 going", Errno(1));
    assert_eq!(machine.preserve(session, 1, &file), Err(Errno::ENODEV));
    assert_eq!(machine.script.take(), ["v0 preserve", "v0 unpreserve"]);
}

#[test]
fn a_freeze_that_fails_anywhere_is_taken_back_and_a_later_jump_works() {
    // Sessions with files and one without; files are 1..=5 in their order.
    let counts = [2, 0, 1, 2];
    for failing in 1..=5_u64 {
        let mut machine = Machine::mainline();
        preserve_files(&mut machine, &counts);
        machine.script.take();
        machine
            .script
            .fail(&format!("h0 freeze {failing}"), Errno(77));
        assert_eq!(machine.luo.reboot(), Err(Errno(77)));
        machine.script.heal();
        let mut expected = lines("freeze", 1..=failing);
        // The session at fault first, then those before it in reverse; files always in order. Data
        // is what freeze made of it.
        let unfrozen: &[u64] = match failing {
            1 => &[],
            2 => &[1001],
            3 => &[1001, 1002],
            4 => &[1003, 1001, 1002],
            _ => &[1004, 1003, 1001, 1002],
        };
        expected.extend(lines("unfreeze", unfrozen.iter().copied()));
        assert_eq!(machine.script.take(), expected, "{failing}");
        // The machine goes on: sessions can be changed, and everything arrives.
        let late = machine.create("late").unwrap();
        let file = machine.world.file(Kind::Recorded(0));
        machine.preserve(late, 0, &file).unwrap();
        let mut machine = machine.jump();
        machine.luo.open().unwrap();
        let sessions = machine.luo.sessions();
        let counts: Vec<usize> = sessions
            .iter()
            .map(|session| session.tokens.len())
            .collect();
        assert_eq!(counts, [2, 0, 1, 2, 1]);
    }
}

#[test]
fn finish_asks_all_files_before_it_finishes_any_the_last_one_first() {
    let mut machine = Machine::mainline();
    preserve_files(&mut machine, &[3]);
    let mut machine = machine.jump();
    machine.luo.open().unwrap();
    let session = machine.retrieve_session("s0").unwrap();
    machine.retrieve(session, 1).unwrap();
    machine.script.take();
    machine.script.fail("h0 can_finish 1002", Errno::EBUSY);
    assert_eq!(machine.finish(session), Err(Errno::EBUSY));
    assert_eq!(machine.script.take(), lines("can_finish", [1001, 1002]));
    machine.script.heal();
    assert_eq!(machine.finish(session), Ok(()));
    let mut expected = lines("can_finish", 1001..=1003);
    expected.extend(lines("discard", [1003]));
    expected.extend(lines("finish", [1002]));
    expected.extend(lines("discard", [1001]));
    assert_eq!(machine.script.take(), expected);
}

#[test]
fn a_close_that_cannot_finish_leaves_a_session_nobody_can_reach() {
    let mut machine = Machine::mainline();
    preserve_files(&mut machine, &[1]);
    let mut machine = machine.jump();
    machine.luo.open().unwrap();
    let session = machine.retrieve_session("s0").unwrap();
    machine.script.fail("h0 can_finish 1001", Errno::EBUSY);
    assert_eq!(machine.close(session), Err(Errno::EBUSY));
    machine.script.heal();
    assert_eq!(machine.retrieve_session("s0"), Err(Errno::EINVAL));
    assert_eq!(machine.luo.sessions().len(), 1);
}

#[test]
fn flbs_arrive_with_their_count_and_are_finished_with_the_last_file() {
    let mut machine = Machine::mainline();
    let flbs = add_flbs(&mut machine);
    preserve_files(&mut machine, &[2, 1]);
    // An FLB somebody holds is counted once more; an object it has as long as a file is there.
    assert_eq!(machine.luo.context().flb_get_outgoing(flbs[1]), Ok(200));
    let mut machine = machine.jump();
    let flbs = add_flbs(&mut machine);
    machine.luo.open().unwrap();
    machine.script.take();
    assert_eq!(
        machine.luo.context().flb_get_outgoing(flbs[1]),
        Err(Errno::ENOENT)
    );
    for (number, &flb) in (1..).zip(&flbs) {
        for _ in 0..2 {
            let got = machine.luo.context().flb_get_incoming(flb);
            assert_eq!(got, Ok(number * 100));
            machine.luo.context().flb_put_incoming(flb);
        }
    }
    assert_eq!(
        machine.script.take(),
        ["v0 retrieve", "v1 retrieve", "v2 retrieve"]
    );
    for session in ["s0", "s1"] {
        let fd = machine.retrieve_session(session).unwrap();
        machine.finish(fd).unwrap();
    }
    let finished: Vec<String> = machine.script.take();
    let finished: Vec<&String> = finished
        .iter()
        .filter(|line| line.starts_with('v'))
        .collect();
    assert_eq!(finished, ["v2 finish", "v0 finish"], "v1 has one user more");
    machine.luo.context().flb_put_incoming(flbs[1]);
    assert_eq!(machine.script.take(), ["v1 finish"]);
    assert_eq!(
        machine.luo.context().flb_get_incoming(flbs[0]),
        Err(Errno::ENODATA)
    );
}

#[test]
fn an_flb_that_was_not_handed_over_is_not_there_and_one_that_failed_stays_failed() {
    let mut machine = Machine::mainline();
    let flbs = add_flbs(&mut machine);
    assert_eq!(
        machine.luo.context().flb_get_incoming(flbs[0]),
        Err(Errno::ENODATA)
    );
    preserve_files(&mut machine, &[1]);
    let mut machine = machine.jump();
    let flbs = add_flbs(&mut machine);
    let new = machine.luo.add_flb(flb(&machine, "new", 9));
    machine.luo.register_flb(HandlerId(0), new).unwrap();
    assert_eq!(
        machine.luo.context().flb_get_incoming(new),
        Err(Errno::ENOENT)
    );
    machine.script.fail("v0 going", Errno(1));
    assert_eq!(
        machine.luo.context().flb_get_incoming(flbs[0]),
        Err(Errno::ENODEV)
    );
    machine.script.heal();
    machine.script.fail("v1 retrieve", Errno(77));
    assert_eq!(
        machine.luo.context().flb_get_incoming(flbs[1]),
        Err(Errno(77))
    );
    machine.script.heal();
    assert_eq!(
        machine.luo.context().flb_get_incoming(flbs[1]),
        Err(Errno(77))
    );
    assert_eq!(machine.luo.context().flb_get_incoming(flbs[0]), Ok(100));
    machine.luo.context().flb_put_incoming(flbs[0]);
    machine.luo.open().unwrap();
    machine.script.take();
    let session = machine.retrieve_session("s0").unwrap();
    machine.finish(session).unwrap();
    let asked = machine.script.take();
    let expected = [
        "h0 can_finish 1001",
        "h0 discard 1001",
        "v2 retrieve",
        "v2 finish",
        "v0 finish",
    ];
    assert_eq!(
        asked, expected,
        "v1 is lost, and the new one was never there"
    );
}

#[test]
fn flbs_and_handlers_are_registered_once_and_as_many_as_fit() {
    let mut machine = Machine::mainline();
    let flbs = add_flbs(&mut machine);
    let handler = HandlerId(0);
    assert_eq!(
        machine.luo.register_flb(handler, flbs[0]),
        Err(Errno::EEXIST)
    );
    let same_name = machine.luo.add_flb(flb(&machine, "v0", 4));
    assert_eq!(
        machine.luo.register_flb(handler, same_name),
        Err(Errno::EEXIST)
    );
    for number in 3..63 {
        let name: &'static str = Box::leak(format!("w{number}").into_boxed_str());
        let one = machine.luo.add_flb(flb(&machine, name, number));
        machine.luo.register_flb(handler, one).unwrap();
    }
    let last = machine.luo.add_flb(flb(&machine, "last", 63));
    assert_eq!(machine.luo.register_flb(handler, last), Err(Errno::ENOSPC));
    assert_eq!(
        machine.luo.register_flb(HandlerId(1), flbs[0]),
        Err(Errno::EEXIST)
    );
    let again = super::recorder::Recorder {
        name: "h1",
        kind: 5,
        script: machine.script.clone(),
        world: machine.world.clone(),
    };
    assert_eq!(
        machine.luo.register_file_handler(Box::new(again)),
        Err(Errno::EEXIST)
    );
    // A page with all of them is written and read.
    let session = machine.create("a").unwrap();
    let file: File = machine.world.file(Kind::Recorded(0));
    machine.preserve(session, 0, &file).unwrap();
    let mut machine = machine.jump();
    let late = machine.luo.add_flb(flb(&machine, "w62", 62));
    assert_eq!(machine.luo.context().flb_get_incoming(late), Ok(6200));
}
