//! A report with everything in it.

use update::{
    Boot, ClientReport, LostItem, Mark, MarkKind, Moment, PhaseTime, PreviousLog, Report, Timeline,
};

use crate::chart::{Kind, blackout, rows, whole};
use crate::{to_html, to_metrics};

fn mark(kind: MarkKind, service: Option<&str>, ms: u64) -> Mark {
    Mark {
        kind,
        service: service.map(str::to_owned),
        at: Moment {
            ticks: Some(ms),
            // Two seconds behind after the jump.
            realtime_ns: ms * 1_000_000,
        },
    }
}

fn report() -> Report {
    let marks = vec![
        mark(MarkKind::Requested, None, 1000),
        mark(MarkKind::Loaded, None, 1100),
        mark(MarkKind::PrepareStarted, None, 1100),
        mark(MarkKind::Prepared, None, 1400),
        mark(MarkKind::FreezeStarted, None, 2000),
        mark(MarkKind::ServiceFrozen, Some("cache"), 2001),
        mark(MarkKind::RebootCalled, None, 2010),
        mark(MarkKind::KernelStarted, None, 2500),
        mark(MarkKind::AgentStarted, None, 3000),
        mark(MarkKind::SessionsRetrieved, None, 3010),
        mark(MarkKind::ServiceRunning, Some("cache"), 3201),
        mark(MarkKind::ServiceFinished, Some("cache"), 3301),
        mark(MarkKind::Finished, None, 3302),
    ];
    Report {
        update_id: "id-1".to_owned(),
        from_release: "7.2.13".to_owned(),
        to_release: Some("7.3.4".to_owned()),
        liveupdate_number: Some(3),
        kexec_count: Some(4),
        blackout_ms: Some(1200.0),
        phases: vec![PhaseTime {
            name: "freeze".to_owned(),
            ms: 10.0,
            is_blackout: true,
        }],
        clients: vec![ClientReport {
            service: "cache".to_owned(),
            blackout_ms: Some(1200.0),
            items: 1,
            bytes: 4096,
            is_unfinished: false,
        }],
        lost: vec![LostItem {
            service: "web<script>".to_owned(),
            item: "a\"b".to_owned(),
            reason: "it was not there".to_owned(),
            is_required: true,
        }],
        warnings: Vec::new(),
        timeline: Timeline {
            ticks_hz: Some(1000),
            marks: marks.into(),
        },
        ..Report::default()
    }
}

#[test]
fn bars_are_where_the_marks_are() {
    let rows = rows(&report());
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["host", "cache"]);
    let freeze = rows[0]
        .bars
        .iter()
        .find(|bar| bar.name == "freeze")
        .unwrap();
    assert_eq!(
        (freeze.time.clone(), freeze.kind),
        (1000.0..1010.0, Kind::Down)
    );
    let waiting = rows[0]
        .bars
        .iter()
        .find(|bar| bar.kind == Kind::Waiting)
        .unwrap();
    assert_eq!(waiting.time, 400.0..1000.0);
    let down = &rows[1].bars[0];
    let rounded = |time: &std::ops::Range<f64>| time.start.round()..time.end.round();
    assert_eq!(
        (rounded(&down.time), down.kind),
        (1001.0..2201.0, Kind::Down)
    );
    assert_eq!(blackout(&rows), Some(1000.0..2201.0));
    assert_eq!(whole(&rows), Some(0.0..2302.0));
}

#[test]
fn a_kernel_whose_clock_is_anothers_has_one_bar_for_the_jump() {
    let mut report = report();
    let mut marks = report.timeline.marks.to_vec();
    let mut all = marks.iter_mut();
    let started = all.find(|mark| mark.kind == MarkKind::KernelStarted);
    started.unwrap().at.ticks = Some(500);
    report.timeline.marks = marks.into();
    let bars = rows(&report)[0].bars.clone();
    let jump = bars.iter().find(|bar| bar.name == "jump to agent").unwrap();
    assert_eq!(jump.time, 1010.0..2000.0);
    assert!(!bars.iter().any(|bar| bar.name == "kernel to agent"));
}

#[test]
fn the_page_says_everything_and_runs_nothing() {
    let page = to_html(&report());
    for words in [
        "Linux 7.2.13 to 7.3.4",
        "1.20 s",
        "web&lt;script&gt;",
        "a&quot;b of",
        "(required): it was not there",
        "<h2>Blackout</h2>",
        "live update 3",
    ] {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    assert!(!page.contains("<script"));
    assert_eq!(page.matches("<svg").count(), 2);
    let empty = to_html(&Report::default());
    assert!(empty.contains("Lost: nothing."));
    assert!(!empty.contains("<svg"));
}

#[test]
fn metrics_are_in_seconds_and_labels_are_escaped() {
    let text = to_metrics(&report());
    for line in [
        "liveupdate_info{update=\"id-1\",from=\"7.2.13\",to=\"7.3.4\",cancelled=\"false\"} 1",
        "liveupdate_number 3",
        "liveupdate_blackout_seconds 1.2",
        "liveupdate_phase_seconds{phase=\"freeze\"} 0.01",
        "liveupdate_service_kept_bytes{service=\"cache\"} 4096",
        "liveupdate_lost_items{required=\"true\"} 1",
        "liveupdate_lost_items{required=\"false\"} 0",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in {text}"
        );
    }
    let helps = text
        .lines()
        .filter(|line| line.starts_with("# HELP"))
        .count();
    let types = text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .count();
    assert_eq!(helps, types);
}

#[test]
fn the_log_and_the_kernels_before_are_named() {
    let boot = |release: &str| Boot {
        release: release.to_owned(),
        ..Boot::default()
    };
    let kept = Report {
        previous_log: Some(PreviousLog::Kept {
            lines: 316,
            last_line: "<end>".to_owned(),
        }),
        chain: vec![boot("7.2.13"), boot("7.3.4")],
        ..report()
    };
    let page = to_html(&kept);
    for part in ["316 lines", "&lt;end&gt;", "7.2.13 &rarr; 7.3.4"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let absent = Report {
        previous_log: Some(PreviousLog::Absent {
            reason: "no backend".to_owned(),
        }),
        ..report()
    };
    assert!(to_html(&absent).contains("not kept: no backend"));
}
