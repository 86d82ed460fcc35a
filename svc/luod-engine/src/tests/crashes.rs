//! A `luod` that is killed at the worst moments, on the fake kernel.

use std::os::fd::AsFd as _;

use super::barrier::during_prepare;
use super::*;
use crate::Host as _;
use crate::engine::{JOURNAL_SESSION, session_key};

/// What a killed `luod` leaves: the holder's descriptors as they are now, the journal as it was
/// saved last.
fn kill(boot: &mut Boot) {
    boot.restart_luod();
}

#[test]
fn a_session_made_but_not_yet_saved_is_closed() {
    let mut boot = Boot::cold();
    let peer = boot.attach(1, "cache");
    boot.keep(&peer, "cache", "arena");
    subscribe(&boot, &peer, "cache");
    // PREPARE is at its start: the update is saved, then sessions are made.
    during_prepare(&boot, |_| boot.engine.cancel("enough").unwrap()).unwrap_err();
    let session = boot.host.create_session("luod:cache").unwrap();
    boot.engine.keep(&session_key("cache"), session).unwrap();
    let mut state = boot.engine.state();
    state.journal.update.as_mut().unwrap().cancelled = None;
    boot.engine.save(&state).unwrap();
    drop(state);
    boot.host.kernel().is_loaded = true;
    kill(&mut boot);
    let names = boot.engine.keeper().names();
    assert!(!names.contains(&session_key("cache")), "{names:?}");
    assert!(!boot.host.kernel().is_loaded, "the kernel stayed loaded");
    let report = boot.engine.report().unwrap();
    assert_eq!(
        report.cancelled.as_deref(),
        Some("luod ended during the update")
    );
}

#[test]
fn a_kill_while_the_handover_is_received_loses_no_session() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    before.prepare().unwrap();
    before.engine.execute(SOON, &mut ignore).unwrap_err();
    let host = before.host.next_boot();
    // The first luod retrieved both sessions, gave them to the holder, and was killed.
    let runtime = tempfile::tempdir().unwrap();
    let first = Boot {
        engine: start(&FakeHost::default(), &runtime),
        host,
        runtime,
    };
    first.engine.keeper().remove(crate::journal_file::JOURNAL);
    for (name, key) in [
        ("luod", JOURNAL_SESSION.to_owned()),
        ("luod:cache", session_key("cache")),
    ] {
        let session = first.host.retrieve_session(name).unwrap().unwrap();
        first.engine.keep(&key, session).unwrap();
    }
    let mut second = first;
    kill(&mut second);
    assert_eq!(second.engine.status().phase, Phase::Updated);
    let peer = second.attach(1, "cache");
    let session = second.engine.get_session(&peer, "cache").unwrap();
    let arena = second.host.retrieve(session.as_fd(), 1).unwrap();
    assert_eq!(content(&arena), "content of arena");
    assert!(second.engine.report().unwrap().lost.is_empty());
}

#[test]
fn a_kill_before_the_journals_session_is_dropped_cancels_nothing() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    let mut after = before.jump(|_| {});
    let leftover = after.host.create_session("luod").unwrap();
    after.engine.keep(JOURNAL_SESSION, leftover).unwrap();
    kill(&mut after);
    assert_eq!(after.engine.status().phase, Phase::Updated);
    assert_eq!(after.engine.report().unwrap().cancelled, None);
    assert_eq!(after.engine.status().unfinished, ["cache"]);
    assert!(
        after.engine.keeper().get(JOURNAL_SESSION).is_none(),
        "it would be in the way of the next update"
    );
}

#[test]
fn a_service_started_again_at_once_waits_for_its_predecessors_end_to_be_noticed() {
    let boot = Boot::cold();
    let old = boot.attach(1, "cache");
    let new = Peer {
        connection: 2,
        pid: old.pid + 1,
        uid: 0,
    };
    let engine = Arc::clone(&boot.engine);
    let attach = thread::spawn(move || engine.attach(&new, "cache"));
    thread::sleep(SOON);
    boot.engine.detach(&old);
    attach.join().unwrap().unwrap();
}

#[test]
fn a_device_that_is_busy_at_the_start_loses_nothing() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    before.prepare().unwrap();
    before.engine.execute(SOON, &mut ignore).unwrap_err();
    let host = before.host.next_boot();
    host.kernel().busy = 3;
    let after = Boot::of(host);
    assert_eq!(after.host.kernel().busy, 0);
    assert_eq!(after.engine.status().unfinished, ["cache"]);
    assert!(after.engine.report().unwrap().lost.is_empty());
}
