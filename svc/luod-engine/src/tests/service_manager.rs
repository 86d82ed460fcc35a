//! Jumps that a service manager does, and shutdowns that others start.

use update::Phase;

use super::{Boot, FakeHost, SOON, ignore};
use crate::Ending;
use crate::guard::Guard;
use crate::host::Host as _;

/// A host whose service manager does the jump, with a service that takes part in nothing.
fn managed() -> Boot {
    let host = FakeHost::default();
    host.kernel().has_service_manager = true;
    host.kernel().systemd_kexec_count = Some(4);
    let boot = Boot::of(host);
    let peer = boot.attach(1, "a");
    boot.keep(&peer, "a", "memory");
    boot
}

fn guard(boot: &Boot) -> Guard {
    boot.host.kernel().guard.clone()
}

fn phase(boot: &Boot) -> Phase {
    boot.engine.status().phase
}

#[test]
fn the_operator_is_told_that_the_jump_has_begun() {
    let boot = managed();
    boot.prepare().unwrap();
    let told = boot.engine.execute(SOON, &mut ignore).unwrap();
    assert_eq!(told.phase, Phase::Frozen);
    assert_eq!(phase(&boot), Phase::Frozen);
}

#[test]
fn nothing_is_touched_with_a_service_manager_that_loses_what_is_held() {
    let boot = managed();
    boot.host.kernel().loses_stores = true;
    let refusal = boot.prepare().unwrap_err();
    assert_eq!(refusal.code, luod_api::Code::NoLiveUpdate);
    assert_eq!(phase(&boot), Phase::Normal);
    assert!(!boot.host.kernel().is_loaded);
}

#[test]
fn others_wait_while_prepared_and_are_refused_until_all_is_finished() {
    let boot = managed();
    assert_eq!(guard(&boot), Guard::Nothing);
    boot.prepare().unwrap();
    assert!(matches!(guard(&boot), Guard::Wait(_)));
    boot.engine.cancel("enough").unwrap();
    assert_eq!(guard(&boot), Guard::Nothing);
    boot.prepare().unwrap();
    boot.engine.execute(SOON, &mut ignore).unwrap();
    let next = Boot::of(boot.host.next_boot());
    let Guard::Refuse(why) = guard(&next) else {
        panic!("{:?}", guard(&next));
    };
    assert!(why.contains("what a has not taken back"), "{why}");
}

#[test]
fn an_abandoned_shutdown_is_a_cancelled_update() {
    let boot = managed();
    boot.engine.shutdown_abandoned();
    assert_eq!(phase(&boot), Phase::Normal);
    boot.prepare().unwrap();
    boot.engine.execute(SOON, &mut ignore).unwrap();
    boot.engine.shutdown_abandoned();
    assert_eq!(phase(&boot), Phase::Normal);
    assert!(!boot.host.kernel().is_loaded);
    let report = boot.engine.report().unwrap();
    assert_eq!(
        report.cancelled.as_deref(),
        Some("systemd abandoned the shutdown")
    );
    // And another update is possible.
    boot.prepare().unwrap();
}

#[test]
fn a_jump_that_somebody_else_starts_takes_along_what_is_prepared() {
    let boot = managed();
    // Not prepared: nothing to do.
    boot.engine.shutdown_begins(Ending::NextKernel, SOON);
    assert_eq!(phase(&boot), Phase::Normal);
    boot.prepare().unwrap();
    boot.engine.shutdown_begins(Ending::NextKernel, SOON);
    assert_eq!(phase(&boot), Phase::Frozen);
    // The service manager is the one who jumps: the fake only takes its snapshot.
    boot.host.reboot().unwrap();
    let next = Boot::of(boot.host.next_boot());
    assert_eq!(next.engine.status().unfinished, ["a"]);
}

#[test]
fn a_shutdown_without_a_next_kernel_cancels() {
    let boot = managed();
    boot.prepare().unwrap();
    boot.engine.shutdown_begins(Ending::Halt, SOON);
    assert_eq!(phase(&boot), Phase::Normal);
}

#[test]
fn a_count_of_kexecs_that_begins_anew_is_told() {
    for (count, warnings) in [(Some(5), 0), (Some(0), 1), (None, 1)] {
        let boot = managed();
        boot.prepare().unwrap();
        boot.engine.execute(SOON, &mut ignore).unwrap();
        let host = boot.host.next_boot();
        host.kernel().systemd_kexec_count = count;
        let report = Boot::of(host).engine.report().unwrap();
        assert_eq!(report.warnings.len(), warnings, "{:?}", report.warnings);
        if let Some(warning) = report.warnings.first() {
            assert!(warning.contains("instead of 5"), "{warning}");
        }
    }
}
