//! Services that refuse, are silent, or end in the middle of an update.

use super::*;

#[test]
fn a_silent_service_is_named_when_its_time_is_over() {
    let boot = Boot::cold();
    let peer = boot.attach(1, "slow");
    subscribe(&boot, &peer, "slow");
    let refusal = boot.prepare().unwrap_err();
    assert_eq!(refusal.code, Code::Cancelled);
    assert!(
        refusal.message.contains("slow did not answer prepare"),
        "{refusal}"
    );
}

/// Runs PREPARE in a thread and `act` once the service has been asked.
pub(super) fn during_prepare(boot: &Boot, act: impl FnOnce(&str)) -> Result<(), Refusal> {
    let engine = Arc::clone(&boot.engine);
    let request = load_request("liveupdate=on");
    let update = thread::spawn(move || engine.prepare(&request, LONG, &mut ignore));
    while boot.engine.state().step.is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    act(&update_id(boot));
    update.join().unwrap()
}

#[test]
fn a_veto_cancels_with_the_services_own_words() {
    let boot = Boot::cold();
    let peer = boot.attach(1, "vm");
    subscribe(&boot, &peer, "vm");
    let refusal = during_prepare(&boot, |update_id| {
        let (service, reason) = ("vm".to_owned(), "migrating".to_owned());
        let veto = Veto {
            service,
            update_id: update_id.to_owned(),
            reason,
        };
        boot.engine.veto(&peer, &veto).unwrap();
    });
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.code, Code::Cancelled);
    assert!(
        refusal.message.contains("vm refused prepare: migrating"),
        "{refusal}"
    );
}

#[test]
fn a_service_that_ends_during_prepare_cancels_and_keeps_its_memory() {
    let boot = Boot::cold();
    let peer = boot.attach(1, "vm");
    boot.keep(&peer, "vm", "ram");
    subscribe(&boot, &peer, "vm");
    let refusal = during_prepare(&boot, |_| boot.engine.detach(&peer)).unwrap_err();
    assert!(
        refusal.message.contains("vm ended during prepare"),
        "{refusal}"
    );
    let peer = boot.attach(2, "vm");
    let fd = boot.engine.get_item(&peer, &named("vm", "ram")).unwrap();
    assert_eq!(content(&fd), "content of ram");
}

#[test]
fn a_participant_that_is_gone_at_freeze_stops_the_jump() {
    let boot = Boot::cold();
    let peer = boot.attach(1, "vm");
    boot.keep(&peer, "vm", "ram");
    subscribe(&boot, &peer, "vm");
    during_prepare(&boot, |update_id| {
        let (service, event) = ("vm".to_owned(), Event::Prepare);
        let answer = Answer {
            service,
            event,
            update_id: update_id.to_owned(),
        };
        boot.engine.ready(&peer, &answer).unwrap();
    })
    .unwrap();
    boot.engine.detach(&peer);
    let refusal = boot.engine.execute(LONG, &mut ignore).unwrap_err();
    assert!(refusal.message.contains("vm ended"), "{refusal}");
    assert!(
        boot.host.kernel().handed_over.is_empty(),
        "it jumped all the same"
    );
}

#[test]
fn a_seal_added_after_prepare_stops_the_jump_and_not_the_next_one() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let boot = Boot::cold();
    let peer = boot.attach(1, "db");
    let memfd = memfd_create("pages", MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC).unwrap();
    let request = Keep {
        service: "db".to_owned(),
        item: "pages".to_owned(),
        schema: 1,
        required: true,
    };
    let duplicate = memfd.try_clone().unwrap();
    boot.engine
        .keep_item(&peer, &request, vec![duplicate])
        .unwrap();
    boot.prepare().unwrap();
    fcntl_add_seals(&memfd, SealFlags::WRITE).unwrap();
    let refusal = boot.engine.execute(SOON, &mut ignore).unwrap_err();
    assert_eq!(refusal.code, Code::NotPreservable);
    assert!(
        refusal
            .message
            .contains("\"pages\" of \"db\" was sealed after PREPARE"),
        "{refusal}"
    );
    let after = boot.jump(|_| {});
    assert!(after.engine.sessions().services[0].record.is_incoming());
}

#[test]
fn whoever_watches_is_told_of_every_answer_and_why_it_ended() {
    let boot = Boot::cold();
    let watch = boot.engine.follow(live_varlink::Waker::default());
    let peer = boot.attach(1, "vm");
    boot.keep(&peer, "vm", "ram");
    subscribe(&boot, &peer, "vm");
    let refused = during_prepare(&boot, |update_id| {
        let veto = Veto {
            service: "vm".to_owned(),
            update_id: update_id.to_owned(),
            reason: "migrating".to_owned(),
        };
        boot.engine.veto(&peer, &veto).unwrap();
    });
    refused.unwrap_err();
    boot.engine.detach(&peer);
    let batch = boot.engine.events();
    let told: Vec<_> = batch
        .events
        .iter()
        .map(|event| {
            let kind = serde_json::to_value(event.kind).unwrap();
            let kind = kind.as_str().unwrap().to_owned();
            (kind, event.detail.clone().unwrap_or_default())
        })
        .collect();
    let expected = [
        ("attached", ""),
        ("requested", ""),
        ("loaded", ""),
        ("prepare-started", ""),
        ("asked", "prepare"),
        ("vetoed", "migrating"),
        (
            "cancelled",
            "vm refused prepare: migrating; the update is cancelled",
        ),
        ("asked", "cancel"),
        ("ended", ""),
    ];
    let expected = expected.map(|(kind, detail)| (kind.to_owned(), detail.to_owned()));
    assert_eq!(told, expected);
    let ids: Vec<_> = batch.events[1..]
        .iter()
        .map(|event| &event.update_id)
        .collect();
    assert!(
        ids.iter().all(|id| id.is_some() && *id == ids[0]),
        "{ids:?}"
    );
    let numbers = batch.events.iter().map(|event| event.number);
    assert!(numbers.eq(1..=9));
    // The same to who followed from the beginning.
    let first = live_varlink::Source::next(&*watch).unwrap();
    assert_eq!(first, serde_json::to_value(&batch).unwrap());
}
