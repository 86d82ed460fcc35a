//! Sessions of the series, with files.

use alloc::vec::Vec;

use super::*;
use crate::tests::process::ARGS;
use crate::tests::world::Kind;

/// A machine with a session "s" at descriptor 0 with two recorded files, 1 and 2, at the tokens 9
/// and 4: handlers are asked in the order of the tokens, so file 2 comes first.
fn with_session() -> Machine {
    let mut machine = machine();
    assert_eq!(machine.create_v4("s"), Ok(0));
    for token in [9, 4] {
        let file = machine.world.file(Kind::Recorded(0));
        machine.preserve_v4(0, token, &file).unwrap();
    }
    machine
}

#[test]
fn preserving_asks_no_handler_before_the_machine_is_prepared() {
    let mut machine = with_session();
    assert!(machine.script.take().is_empty());
    machine.event(PREPARE).unwrap();
    assert_eq!(machine.session_state(0, [0; 3]), Ok(PREPARED));
    machine.luo.reboot().unwrap();
    assert_eq!(machine.session_state(0, [0; 3]), Ok(FROZEN));
    let expected = [
        "h0 preserve 2",
        "h0 preserve 1",
        "h0 freeze 2",
        "h0 freeze 1",
    ];
    assert_eq!(machine.script.take(), expected);
    let mut machine = machine.kexec().unwrap();
    let session = machine.retrieve_v4("s").unwrap();
    assert_eq!(machine.session_state(session, [0; 3]), Ok(UPDATED));
    let file = machine.restore_v4(session, 9).unwrap();
    assert_eq!(machine.restore_v4(session, 9), Err(Errno::EADDRINUSE));
    assert_eq!(machine.restore_v4(session, 5), Err(Errno::ENOENT));
    machine.event(FINISH).unwrap();
    let expected = ["h0 retrieve 1001", "h0 discard 1002", "h0 finish 1001"];
    assert_eq!(machine.script.take(), expected);
    assert_eq!(machine.session_state(session, [0; 3]), Ok(NORMAL));
    // What was retrieved takes part in the next update.
    assert_eq!(machine.luo.sessions()[0].tokens, [9]);
    assert_eq!(file.references(), 2);
    machine.event(PREPARE).unwrap();
    let mut machine = machine.jump();
    let session = machine.retrieve_v4("s").unwrap();
    assert!(machine.restore_v4(session, 9).is_ok());
}

#[test]
fn sessions_nobody_retrieved_are_dropped_by_finish() {
    let mut machine = with_session();
    machine.create_v4("t").unwrap();
    machine.event(PREPARE).unwrap();
    let mut machine = machine.jump();
    machine.retrieve_v4("t").unwrap();
    machine.script.take();
    machine.event(FINISH).unwrap();
    assert_eq!(
        machine.script.take(),
        ["h0 discard 1002", "h0 discard 1001"]
    );
    let names: Vec<_> = machine
        .luo
        .sessions()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, [b"t"]);
    assert_eq!(machine.luo.kho().unclaimed().count(), 0);
}

#[test]
fn commands_of_the_device_are_tied_to_states() {
    let mut machine = with_session();
    assert_eq!(machine.retrieve_v4("s"), Err(Errno::EAGAIN));
    assert_eq!(machine.create_v4("s"), Err(Errno::EEXIST));
    assert!(
        machine.create_v4("").is_ok(),
        "the series does not look at names"
    );
    machine.event(PREPARE).unwrap();
    assert_eq!(machine.create_v4("t"), Err(Errno::EAGAIN));
    let mut machine = machine.jump();
    // Names of what was handed over are taken before anybody has retrieved it.
    assert_eq!(machine.create_v4("s"), Err(Errno::EEXIST));
    let new = machine.create_v4("new").unwrap();
    assert_eq!(machine.retrieve_v4("new"), Err(Errno::EADDRINUSE));
    assert_eq!(machine.retrieve_v4("nobody"), Err(Errno::ENOENT));
    machine.process.limit = 0;
    assert_eq!(machine.retrieve_v4("nobody"), Err(Errno::EMFILE));
    machine.process.limit = 9;
    let session = machine.retrieve_v4("s").unwrap();
    assert_eq!(machine.retrieve_v4("s"), Err(Errno::EADDRINUSE));
    // The descriptor of a new session is of no use to restore.
    assert_eq!(machine.restore_v4(new, 9), Err(Errno::EBUSY));
    // A session can be finished before the machine is.
    machine.session_event(session, FINISH).unwrap();
    assert_eq!(machine.restore_v4(session, 9), Err(Errno::EBUSY));
    assert_eq!(machine.session_state(session, [0; 3]), Ok(NORMAL));
    machine.event(FINISH).unwrap();
    assert_eq!(machine.restore_v4(session, 9), Err(Errno::EBUSY));
}

#[test]
fn preserve_looks_at_states_then_the_descriptor_then_the_token() {
    let mut machine = with_session();
    assert_eq!(machine.preserve_fd_v4(0, 9, 99), Err(Errno::EBADF));
    let null = machine.world.file(Kind::Null);
    assert_eq!(machine.preserve_v4(0, 9, &null), Err(Errno::ENOENT));
    let file = machine.world.file(Kind::Recorded(0));
    assert_eq!(machine.preserve_v4(0, 9, &file), Err(Errno::EEXIST));
    assert_eq!(machine.unpreserve_v4(0, 7, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(machine.unpreserve_v4(0, 7, 0), Err(Errno::ENOENT));
    assert_eq!(machine.unpreserve_v4(0, 9, 0), Ok(()));
    assert_eq!(machine.preserve_v4(0, 9, &file), Ok(()));
    machine.session_event(0, PREPARE).unwrap();
    assert_eq!(machine.preserve_fd_v4(0, 5, 99), Err(Errno::EBUSY));
    assert_eq!(machine.unpreserve_v4(0, 9, 0), Err(Errno::EBUSY));
    machine.session_event(0, CANCEL).unwrap();
    machine.event(PREPARE).unwrap();
    assert_eq!(machine.preserve_fd_v4(0, 5, 99), Err(Errno::EBUSY));
    assert_eq!(machine.unpreserve_v4(0, 9, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(machine.unpreserve_v4(0, 9, 0), Err(Errno::EBUSY));
    assert_eq!(machine.restore_v4(0, 9), Err(Errno::EBUSY));
    assert_eq!(machine.session_state(0, [0, 1, 0]), Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_session_goes_through_states_of_its_own() {
    let mut machine = with_session();
    assert_eq!(
        machine.session_event(0, LiveupdateEvent(4)),
        Err(Errno::EINVAL)
    );
    assert_eq!(machine.session_event(0, FREEZE), Err(Errno::EBUSY));
    // Nothing to cancel and nothing to finish is no error.
    assert_eq!(machine.session_event(0, CANCEL), Ok(()));
    assert_eq!(machine.session_event(0, FINISH), Ok(()));
    machine.session_event(0, PREPARE).unwrap();
    assert_eq!(machine.session_event(0, PREPARE), Err(Errno::EBUSY));
    machine.session_event(0, FREEZE).unwrap();
    assert_eq!(machine.session_state(0, [0; 3]), Ok(FROZEN));
    machine.script.take();
    // The machine goes on from where the session is.
    machine.event(PREPARE).unwrap();
    machine.luo.reboot().unwrap();
    assert!(machine.script.take().is_empty());
    let mut machine = machine.kexec().unwrap();
    let session = machine.retrieve_v4("s").unwrap();
    assert!(machine.restore_v4(session, 4).is_ok());
    assert_eq!(machine.script.take(), ["h0 retrieve 1002"]);
}

#[test]
fn a_file_that_cannot_be_prepared_cancels_those_before_it_and_the_machine_is_normal() {
    let mut machine = with_session();
    let early = machine.create_v4("t").unwrap();
    machine.session_event(early, PREPARE).unwrap();
    let (used, keys) = (machine.used_bytes(), machine.keys());
    machine.script.fail("h0 preserve 1", Errno(77));
    assert_eq!(machine.session_event(0, PREPARE), Err(Errno(77)));
    let expected = ["h0 preserve 2", "h0 preserve 1", "h0 unpreserve 2"];
    assert_eq!(machine.script.take(), expected);
    assert_eq!(machine.event(PREPARE), Err(Errno(77)));
    assert_eq!(machine.script.take(), expected);
    assert_eq!(machine.state(), NORMAL);
    assert_eq!(
        machine.session_state(early, [0; 3]),
        Ok(NORMAL),
        "canceled with the others"
    );
    assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
}

#[test]
fn a_file_that_cannot_be_frozen_cancels_all_and_the_machine_is_normal() {
    let mut machine = with_session();
    let behind = machine.create_v4("behind").unwrap();
    register(&mut machine);
    let (used, keys) = (machine.used_bytes(), machine.keys());
    machine.event(PREPARE).unwrap();
    machine.script.take();
    machine.script.fail("h0 freeze 1", Errno(77));
    assert_eq!(machine.luo.reboot(), Err(Errno(77)));
    let expected = [
        "h0 freeze 2",
        "h0 freeze 1",
        "h0 unpreserve 1002",
        "h0 unpreserve 1",
    ];
    assert_eq!(
        machine.script.take(),
        expected,
        "subsystems behind the sessions hear nothing"
    );
    assert_eq!(machine.state(), NORMAL);
    for session in [0, behind] {
        assert_eq!(machine.session_state(session, [0; 3]), Ok(NORMAL));
    }
    assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
    machine.script.heal();
    machine.event(PREPARE).unwrap();
    assert_eq!(machine.jump().state(), UPDATED);
}

#[test]
fn a_session_that_is_closed_or_canceled_after_prepare_is_not_handed_over() {
    let mut machine = with_session();
    let empty = machine.create_v4("empty").unwrap();
    let canceled = machine.create_v4("canceled").unwrap();
    let memfd = machine.world.memfd(&[1; 10_000]);
    machine.preserve_v4(canceled, 1, &memfd).unwrap();
    machine.event(PREPARE).unwrap();
    machine.script.take();
    let keys = machine.keys();
    machine.close(0).unwrap();
    assert_eq!(
        machine.script.take(),
        ["h0 unpreserve 2", "h0 unpreserve 1"]
    );
    machine.session_event(canceled, CANCEL).unwrap();
    // Two tables of files, a description, three folios, their list and its chunk.
    assert_eq!(keys - machine.keys(), 2 + 6);
    assert_eq!(memfd.inode().frozen, 0);
    // It stays canceled: while the handover is finalized nothing can be added.
    assert_eq!(machine.session_event(canceled, PREPARE), Err(Errno::EBUSY));
    assert!(machine.luo.kho().handoff().is_some(), "still finalized");
    assert_eq!(machine.session_state(empty, [0; 3]), Ok(PREPARED));
    let mut machine = machine.jump();
    assert!(machine.retrieve_v4("empty").is_ok());
    for gone in ["s", "canceled"] {
        assert_eq!(machine.retrieve_v4(gone), Err(Errno::ENOENT));
    }
}

#[test]
fn closing_an_updated_session_finishes_it() {
    let mut machine = with_session();
    machine.event(PREPARE).unwrap();
    let mut machine = machine.jump();
    let session = machine.retrieve_v4("s").unwrap();
    machine.script.take();
    machine.close(session).unwrap();
    assert_eq!(
        machine.script.take(),
        ["h0 discard 1002", "h0 discard 1001"]
    );
    assert_eq!(machine.retrieve_v4("s"), Err(Errno::ENOENT));
}

#[test]
fn a_fault_leaves_a_session_to_be_retrieved_again() {
    let mut machine = with_session();
    machine.event(PREPARE).unwrap();
    let mut machine = machine.jump();
    machine.process.read_only.insert(ARGS);
    assert_eq!(machine.retrieve_v4("s"), Err(Errno::EFAULT));
    assert_eq!(machine.create_v4("t"), Err(Errno::EFAULT));
    machine.process.read_only.clear();
    assert!(machine.retrieve_v4("s").is_ok());
    assert!(machine.create_v4("t").is_ok());
}

#[test]
fn a_failed_restore_may_be_tried_again() {
    let mut machine = with_session();
    machine.event(PREPARE).unwrap();
    let mut machine = machine.jump();
    let session = machine.retrieve_v4("s").unwrap();
    machine.script.fail("h0 retrieve 1001", Errno(77));
    assert_eq!(machine.restore_v4(session, 9), Err(Errno(77)));
    machine.script.heal();
    assert!(machine.restore_v4(session, 9).is_ok());
}

#[test]
fn memfds_arrive_and_everything_is_free_after_cancel() {
    let mut machine = machine();
    let (used, keys) = (machine.used_bytes(), machine.keys());
    let session = machine.create_v4("s").unwrap();
    let file = machine.world.memfd(&[7; 10_000]);
    machine.preserve_v4(session, 1, &file).unwrap();
    machine.event(PREPARE).unwrap();
    assert_eq!(file.inode().frozen, 1);
    machine.event(CANCEL).unwrap();
    assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
    assert_eq!(file.inode().frozen, 0);
    machine.event(PREPARE).unwrap();
    file.write(0, b"late");
    let mut machine = machine.jump();
    let session = machine.retrieve_v4("s").unwrap();
    let content = machine.restore_v4(session, 1).unwrap().content();
    assert_eq!((&content[..5], content.len()), (&b"late\x07"[..], 10_000));
}
