//! What a service gives into keeping as it stops for the jump.

use update::Event;

use super::barrier::during_prepare;
use super::*;

fn ready(boot: &Boot, peer: &Peer, event: Event) {
    let answer = Answer {
        service: "cache".to_owned(),
        event,
        update_id: update_id(boot),
    };
    boot.engine.ready(peer, &answer).unwrap();
}

/// PREPARE with the one service `cache`.
fn prepared() -> (Boot, Peer) {
    let boot = Boot::cold();
    let peer = boot.attach(1, "cache");
    subscribe(&boot, &peer, "cache");
    during_prepare(&boot, |_| ready(&boot, &peer, Event::Prepare)).unwrap();
    (boot, peer)
}

/// FREEZE, and `act` while the service is awaited.
fn freeze(boot: &Boot, act: impl FnOnce()) -> Refusal {
    let engine = Arc::clone(&boot.engine);
    let jump = thread::spawn(move || engine.execute(LONG, &mut ignore).unwrap_err());
    while !boot.engine.state().is_freezing("cache") {
        thread::sleep(Duration::from_millis(1));
    }
    act();
    jump.join().unwrap()
}

#[test]
fn what_a_service_writes_as_it_stops_goes_over() {
    let (boot, peer) = prepared();
    assert!(
        keep(&boot.engine, &peer, "cache", "early").is_err(),
        "nothing changes between PREPARE and FREEZE"
    );
    freeze(&boot, || {
        keep(&boot.engine, &peer, "cache", "index").unwrap();
        let refusal = keep(&boot.engine, &peer, "cache", "index").unwrap_err();
        assert_eq!(refusal.code, Code::WrongPhase);
        ready(&boot, &peer, Event::Freeze);
    });
    let after = Boot::of(boot.host.next_boot());
    let peer = after.attach(1, "cache");
    let session = after.engine.get_session(&peer, "cache").unwrap();
    let host: &dyn crate::Host = &after.host;
    use std::os::fd::AsFd as _;
    let index = host.retrieve(session.as_fd(), 1).unwrap();
    assert_eq!(content(&index), "content of index");
}

#[test]
fn after_a_cancel_it_is_kept_and_nothing_stays_preserved() {
    let (boot, peer) = prepared();
    let refusal = freeze(&boot, || {
        keep(&boot.engine, &peer, "cache", "index").unwrap();
        boot.engine.cancel("changed my mind").unwrap();
    });
    assert_eq!(refusal.code, Code::Cancelled);
    assert!(boot.engine.keeper().get("session/cache").is_none());
    let named = Named {
        service: "cache".to_owned(),
        item: "index".to_owned(),
    };
    let index = boot.engine.get_item(&peer, &named).unwrap();
    assert_eq!(content(&index), "content of index");
}

#[test]
fn a_file_whose_name_is_still_there_cancels_and_is_named() {
    // A folder on tmpfs, as everywhere.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = std::fs::File::create(folder.path().join("index")).unwrap();
    let (boot, peer) = prepared();
    let refusal = freeze(&boot, || {
        let request = Keep {
            service: "cache".to_owned(),
            item: "index".to_owned(),
            schema: 1,
            required: true,
        };
        boot.engine
            .keep_item(&peer, &request, vec![file.into()])
            .unwrap();
        ready(&boot, &peer, Event::Freeze);
    });
    assert_eq!(refusal.code, Code::NotPreservable);
    assert!(
        refusal.message.contains("\"index\"") && refusal.message.contains("still has a name"),
        "{refusal}"
    );
}
