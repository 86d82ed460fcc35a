//! Whether there is room for the sessions of an update.

use luod_api::Code;

use super::Boot;
use crate::prepare::{check_room, sessions};

#[test]
fn an_update_makes_a_session_for_each_service_that_keeps_something_and_one_more() {
    let boot = Boot::cold();
    for (connection, name) in [(1, "a"), (2, "b"), (3, "nothing")] {
        let peer = boot.attach(connection, name);
        if name != "nothing" {
            boot.keep(&peer, name, "one");
            boot.keep(&peer, name, "two");
        }
    }
    assert_eq!(sessions(&boot.engine.state()), 3);
}

#[test]
fn an_update_without_room_for_its_sessions_is_refused() {
    check_room(None, usize::MAX).unwrap();
    check_room(Some(3), 3).unwrap();
    let refusal = check_room(Some(2), 3).unwrap_err();
    assert_eq!(refusal.code, Code::LimitReached);
    let words = "makes 3 sessions, and systemd stores only 2 descriptors more";
    assert!(refusal.message.contains(words), "{refusal}");
}
