//! What an operator reads.

use super::*;
use update::{ClientReport, LostItem, Phase, PhaseTime};

fn sample() -> Report {
    Report {
        update_id: "u1".into(),
        from_release: "7.2.13".into(),
        to_release: Some("7.3.4".into()),
        liveupdate_number: Some(1),
        kexec_count: Some(1),
        phase: Phase::Updated,
        blackout_ms: Some(1234.5),
        phases: vec![PhaseTime {
            name: "freeze".into(),
            ms: 4.0,
            is_blackout: true,
        }],
        clients: vec![ClientReport {
            service: "cache".into(),
            blackout_ms: Some(1234.5),
            items: 1,
            bytes: 256 << 20,
            is_unfinished: true,
        }],
        ..Report::default()
    }
}

#[test]
fn the_kernels_since_the_cold_boot_and_their_last_lines_are_named() {
    let boot = |release: &str, kexec_count| Boot {
        release: release.into(),
        kexec_count,
        ..Boot::default()
    };
    let all = [
        boot("7.2.13", Some(0)),
        boot("7.3.4", Some(1)),
        boot("7.3.4", None),
    ];
    let known = Report {
        previous_log: Some(PreviousLog::Kept {
            lines: 3,
            last_line: "Starting new kernel".into(),
        }),
        chain: all[..2].to_vec(),
        ..sample()
    };
    let text = report(&known);
    for part in [
        "kept, 3 lines, the last: Starting new kernel",
        "since the cold boot: 7.2.13 -> 7.3.4",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let text = boots(&all);
    for part in ["cold boot", "kexec 1", "kexec count unknown"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_report_names_kernels_counts_times_and_services() {
    let text = report(&sample());
    for part in [
        "7.2.13 -> 7.3.4",
        "number 1",
        "count 1",
        "freeze",
        "1234.5 ms",
        "1 item, 256 MiB",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(text.contains("lost: nothing"), "{text}");
    assert!(text.contains("not finished"), "{text}");
}

#[test]
fn a_loss_is_named_with_item_service_and_reason() {
    let mut report_with_loss = sample();
    report_with_loss.lost.push(LostItem {
        service: "cache".into(),
        item: "arena".into(),
        reason: "the kernel brought no session".into(),
        is_required: true,
    });
    let text = report(&report_with_loss);
    assert!(
        text.contains("lost (REQUIRED): arena of cache: the kernel brought"),
        "{text}"
    );
    assert!(!text.contains("lost: nothing"), "{text}");
}
