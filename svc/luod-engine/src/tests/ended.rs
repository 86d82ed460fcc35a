//! Updates that ended are written down, and what is being done is not.

use luod_api::manager::{self, History, PastUpdate};

use super::*;

fn past(boot: &Boot) -> Vec<PastUpdate> {
    boot.engine.history(&History { limit: 10 }).updates
}

#[test]
fn a_cancelled_and_a_finished_update_are_in_the_history() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    before.prepare().unwrap();
    assert!(past(&before).is_empty());
    before.engine.cancel("not today").unwrap();
    let cancelled = past(&before);
    let [update] = &cancelled[..] else {
        panic!("{cancelled:?}")
    };
    assert_eq!(update.report.cancelled.as_deref(), Some("not today"));
    assert!(update.report.timeline.marks.is_empty());

    // Each boot of a test has a folder of its own.
    let after = before.jump(|_| {});
    assert!(past(&after).is_empty());
    let give_up = manager::Finish {
        service: None,
        discard: true,
    };
    after.engine.finish_for(&give_up).unwrap();
    let finished = past(&after);
    let [update] = &finished[..] else {
        panic!("{finished:?}")
    };
    assert_eq!(update.report.to_release.as_deref(), Some("7.3.4-fake"));
    assert_eq!(update.report.cancelled, None);
    assert!(update.ended_ns > 0);
}
