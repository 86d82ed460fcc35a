//! Updates that ended are written down, and what is being done is not.

use luod_api::manager::{self, History, PastUpdate};

use super::*;
use crate::host::UpdateId;

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

#[test]
fn each_boot_is_written_down_with_the_update_it_came_by() {
    let before = Boot::cold();
    let boots = |boot: &Boot| {
        boot.engine.note_boot();
        boot.engine.history(&History { limit: 10 }).boots
    };
    let cold = boots(&before);
    assert_eq!(cold.len(), 1);
    assert_eq!((&*cold[0].boot_id, &cold[0].update_id), ("boot-0", &None));
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    let mut after = before.jump(|_| {});
    let id = update_id(&after);
    let jumped = boots(&after);
    assert_eq!(jumped.len(), 1);
    assert_eq!(jumped[0].kexec_count, Some(1));
    assert_eq!(jumped[0].update_id.as_ref(), Some(&id));
    let chain = after.engine.report().unwrap().chain;
    assert_eq!(chain, jumped);
    // The same boot, seen by another luod.
    after.restart_luod();
    assert_eq!(boots(&after), jumped);
}

#[test]
fn the_last_words_are_said_before_the_jump_and_not_without_one() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    before.prepare().unwrap();
    assert_eq!(before.host.kernel().last_words, None);
    before.engine.cancel("not today").unwrap();
    assert_eq!(before.host.kernel().last_words, None);
    let after = before.jump(|_| {});
    let words = before.host.kernel().last_words.clone().unwrap();
    assert!(words.summary.contains(&update_id(&after)), "{words:?}");
    assert!(
        words.summary.contains("1 services hand over 1 items"),
        "{words:?}"
    );
    assert!(
        words.details[0].starts_with("cache: 1 items, "),
        "{words:?}"
    );
}

#[test]
fn an_update_is_called_what_its_caller_calls_it() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    for wrong in ["", "two words", "line\nbreak", &"x".repeat(65)] {
        let refusal = UpdateId::new(wrong).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidParameter, "{wrong:?}");
    }
    let request = LoadRequest {
        update_id: Some(UpdateId::new("fleet:wave-7.3").unwrap()),
        ..load_request("liveupdate=on")
    };
    before.engine.prepare(&request, SOON, &mut ignore).unwrap();
    before.engine.execute(SOON, &mut ignore).unwrap_err();
    let after = Boot::of(before.host.next_boot());
    let peer = after.attach(1, "cache");
    after.engine.get_session(&peer, "cache").unwrap();
    after
        .engine
        .finish_service(&peer, &finish("cache", &["arena"]))
        .unwrap();
    assert_eq!(after.engine.report().unwrap().update_id, "fleet:wave-7.3");
}
