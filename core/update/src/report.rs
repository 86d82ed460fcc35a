//! What an update did: how long each step took, what was kept, what was lost.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boot::{Boot, PreviousLog};
use crate::journal::{Journal, UpdateRecord};
use crate::manifest::{ItemState, ServiceRecord};
use crate::phase::Phase;
use crate::timeline::{MarkKind, Moment, Timeline};

/// The report of one update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Identity of the update.
    pub update_id: String,
    /// Kernel release before.
    pub from_release: String,
    /// Kernel release after; none while it has not jumped.
    pub to_release: Option<String>,
    /// Why it was cancelled.
    pub cancelled: Option<String>,
    /// The kernel's count of live updates since the cold boot.
    pub liveupdate_number: Option<u64>,
    /// The kernel's count of kexecs with a handover since the cold boot.
    pub kexec_count: Option<u32>,
    /// Phase of the host now.
    pub phase: Phase,
    /// Time from the first service frozen to the last service running again, in milliseconds.
    pub blackout_ms: Option<f64>,
    /// The steps, in order; only those that happened.
    pub phases: Vec<PhaseTime>,
    /// Each service.
    pub clients: Vec<ClientReport>,
    /// Everything that did not come over, by name.
    pub lost: Vec<LostItem>,
    /// What went wrong beside luod's own sessions. Default when absent: nothing.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the kernel before left of its log. Default when absent: nobody has looked yet.
    #[serde(default)]
    pub previous_log: Option<PreviousLog>,
    /// The boots since the last cold boot, as far as luod ran in them. Default when absent: not known.
    #[serde(default)]
    pub chain: Vec<Boot>,
    /// The moments all of this was computed from.
    #[serde(default)]
    pub timeline: Timeline,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Its name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Whether services stood still during it.
    pub is_blackout: bool,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Its name.
    pub service: String,
    /// From its freeze to its running again, in milliseconds; none while it is not.
    pub blackout_ms: Option<f64>,
    /// Items kept.
    pub items: usize,
    /// Bytes kept.
    pub bytes: u64,
    /// Its session waits for it to finish.
    pub is_unfinished: bool,
}

/// Something that did not come over, or was discarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostItem {
    /// Its service.
    pub service: String,
    /// Its name.
    pub item: String,
    /// Why.
    pub reason: String,
    /// Whether its owner called it required.
    pub is_required: bool,
}

/// The steps: name, first mark, last mark, and whether services stand still.
const STEPS: [(&str, MarkKind, MarkKind, bool); 7] = [
    ("load", MarkKind::Requested, MarkKind::Loaded, false),
    (
        "prepare",
        MarkKind::PrepareStarted,
        MarkKind::Prepared,
        false,
    ),
    (
        "freeze",
        MarkKind::FreezeStarted,
        MarkKind::RebootCalled,
        true,
    ),
    (
        "shutdown and jump",
        MarkKind::RebootCalled,
        MarkKind::KernelStarted,
        true,
    ),
    (
        "kernel to agent",
        MarkKind::KernelStarted,
        MarkKind::AgentStarted,
        true,
    ),
    (
        "retrieve sessions",
        MarkKind::AgentStarted,
        MarkKind::SessionsRetrieved,
        true,
    ),
    (
        "finish",
        MarkKind::SessionsRetrieved,
        MarkKind::Finished,
        false,
    ),
];

impl Report {
    /// The report of the journal's update; none before the first.
    pub fn new(journal: &Journal) -> Option<Self> {
        let update = journal.update.as_ref()?;
        let clients: Vec<_> = journal
            .services
            .iter()
            .map(|service| client(&update.timeline, service))
            .collect();
        Some(Self {
            update_id: update.id.clone(),
            from_release: update.from_release.clone(),
            to_release: update.to_release.clone(),
            cancelled: update.cancelled.clone(),
            liveupdate_number: update.liveupdate_number,
            kexec_count: update.kexec_count,
            phase: journal.phase,
            blackout_ms: blackout(update),
            phases: steps(&update.timeline),
            clients,
            lost: lost(&journal.services, update),
            warnings: update.warnings.clone(),
            previous_log: update.previous_log.clone(),
            chain: Vec::new(),
            timeline: update.timeline.clone(),
        })
    }

    /// Whether something required did not come over.
    pub fn has_required_loss(&self) -> bool {
        self.lost.iter().any(|lost| lost.is_required)
    }
}

fn steps(timeline: &Timeline) -> Vec<PhaseTime> {
    let step = |&(name, from, to, is_blackout): &(&str, MarkKind, MarkKind, bool)| {
        let ms = span(timeline, timeline.host(from), timeline.host(to))?;
        Some(PhaseTime {
            name: name.into(),
            ms,
            is_blackout,
        })
    };
    let mut steps: Vec<_> = STEPS.iter().filter_map(step).collect();
    let marks = [
        MarkKind::RebootCalled,
        MarkKind::KernelStarted,
        MarkKind::AgentStarted,
    ];
    let [called, started, agent] = marks.map(|kind| timeline.host(kind));
    if called.is_some() && started.is_some() && span(timeline, called, started).is_none() {
        // The clock says that the kernel started before it was jumped to: it is another kernel's, as
        // on an emulated machine. How the time is divided is not known then, only how much it is.
        steps.retain(|step| step.name != "kernel to agent");
        if let Some(ms) = span(timeline, called, agent) {
            let before = steps
                .iter()
                .position(|step| step.name == "retrieve sessions");
            steps.insert(
                before.unwrap_or(steps.len()),
                PhaseTime {
                    name: "jump to agent".into(),
                    ms,
                    is_blackout: true,
                },
            );
        }
    }
    let retrieved = timeline.host(MarkKind::SessionsRetrieved);
    if let Some(ms) = span(timeline, retrieved, last_running(timeline)) {
        let at = steps
            .iter()
            .position(|step| step.name == "finish")
            .unwrap_or(steps.len());
        steps.insert(
            at,
            PhaseTime {
                name: "services start".into(),
                ms,
                is_blackout: true,
            },
        );
    }
    steps
}

fn client(timeline: &Timeline, service: &ServiceRecord) -> ClientReport {
    let kept = || service.items.iter().filter(|item| is_kept(&item.state));
    let frozen = timeline
        .service(MarkKind::ServiceFrozen, &service.name)
        .or_else(|| timeline.host(MarkKind::FreezeStarted));
    let running = timeline.service(MarkKind::ServiceRunning, &service.name);
    ClientReport {
        service: service.name.clone(),
        blackout_ms: span(timeline, frozen, running),
        items: kept().count(),
        bytes: kept().fold(0, |sum: u64, item| sum.saturating_add(item.size_bytes)),
        is_unfinished: service.is_incoming(),
    }
}

const fn is_kept(state: &ItemState) -> bool {
    matches!(state, ItemState::Held | ItemState::Incoming)
}

fn blackout(update: &UpdateRecord) -> Option<f64> {
    let timeline = &update.timeline;
    let frozen = timeline
        .marks
        .iter()
        .find(|mark| mark.kind == MarkKind::ServiceFrozen);
    let start = frozen
        .map(|mark| mark.at)
        .or_else(|| timeline.host(MarkKind::FreezeStarted));
    span(timeline, start, last_running(timeline))
}

fn last_running(timeline: &Timeline) -> Option<Moment> {
    let running = timeline
        .marks
        .iter()
        .rev()
        .find(|mark| mark.kind == MarkKind::ServiceRunning);
    running.map(|mark| mark.at)
}

fn span(timeline: &Timeline, from: Option<Moment>, to: Option<Moment>) -> Option<f64> {
    timeline.between(from?, to?).map(millis)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// What programs could not bring back, as lost as an item.
fn failed(update: &UpdateRecord) -> impl Iterator<Item = LostItem> {
    let programs = update.programs.iter();
    programs.filter_map(|program| {
        Some(LostItem {
            service: program.name.clone(),
            item: "boot".into(),
            reason: program.failed.clone()?,
            is_required: true,
        })
    })
}

fn lost(services: &[Arc<ServiceRecord>], update: &UpdateRecord) -> Vec<LostItem> {
    let of = |service: &Arc<ServiceRecord>| {
        let name = service.name.clone();
        let items = service.items.iter().filter_map(move |item| {
            let reason = match &item.state {
                ItemState::Lost { reason } => reason.clone(),
                ItemState::Discarded => "discarded as asked".to_string(),
                ItemState::Held | ItemState::Incoming => return None,
            };
            let is_required = item.required && item.state != ItemState::Discarded;
            Some(LostItem {
                service: name.clone(),
                item: item.name.clone(),
                reason,
                is_required,
            })
        });
        items.collect::<Vec<_>>()
    };
    services.iter().flat_map(of).chain(failed(update)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ItemRecord;
    use crate::timeline::Mark;

    fn mark(kind: MarkKind, service: Option<&str>, ticks: u64) -> Mark {
        let at = Moment {
            ticks: Some(ticks),
            realtime_ns: 0,
        };
        Mark {
            kind,
            service: service.map(Into::into),
            at,
        }
    }

    fn item(state: ItemState, required: bool) -> ItemRecord {
        ItemRecord {
            name: "arena".into(),
            token: 1,
            schema: 0,
            required,
            size_bytes: 7,
            seals: 0,
            state,
        }
    }

    fn journal(items: Vec<ItemRecord>) -> Journal {
        let marks = alloc::vec![
            mark(MarkKind::Requested, None, 0),
            mark(MarkKind::FreezeStarted, None, 100),
            mark(MarkKind::ServiceFrozen, Some("a"), 110),
            mark(MarkKind::RebootCalled, None, 120),
            mark(MarkKind::KernelStarted, None, 1_000),
            mark(MarkKind::AgentStarted, None, 2_000),
            mark(MarkKind::SessionsRetrieved, None, 2_010),
            mark(MarkKind::ServiceRunning, Some("a"), 3_110),
        ];
        let timeline = Timeline {
            ticks_hz: Some(1_000),
            marks: marks.into(),
        };
        let mut service = ServiceRecord::new("a".into(), 0);
        service.items = items;
        Journal {
            phase: Phase::Updated,
            services: alloc::vec![Arc::new(service)],
            update: Some(UpdateRecord {
                timeline,
                ..UpdateRecord::default()
            }),
            ..Journal::default()
        }
    }

    #[test]
    fn the_blackout_runs_from_frozen_to_running() {
        let report = Report::new(&journal(Vec::new())).unwrap();
        assert_eq!(report.blackout_ms, Some(3_000.0));
        assert_eq!(report.clients[0].blackout_ms, Some(3_000.0));
        let names: Vec<_> = report
            .phases
            .iter()
            .map(|phase| phase.name.as_str())
            .collect();
        let wanted = [
            "freeze",
            "shutdown and jump",
            "kernel to agent",
            "retrieve sessions",
            "services start",
        ];
        assert_eq!(names, wanted);
    }

    /// As on an emulated machine, whose clock is that of the host.
    #[test]
    fn a_kernel_that_started_before_the_jump_is_not_believed() {
        let mut journal = journal(Vec::new());
        let timeline = &mut journal.update.as_mut().unwrap().timeline;
        let mut marks = timeline.marks.to_vec();
        let mut all = marks.iter_mut();
        let started = all.find(|mark| mark.kind == MarkKind::KernelStarted);
        started.unwrap().at.ticks = Some(5);
        timeline.marks = marks.into();
        let report = Report::new(&journal).unwrap();
        let names: Vec<_> = report
            .phases
            .iter()
            .map(|phase| phase.name.as_str())
            .collect();
        let wanted = [
            "freeze",
            "jump to agent",
            "retrieve sessions",
            "services start",
        ];
        assert_eq!(names, wanted);
        assert_eq!(report.blackout_ms, Some(3_000.0));
    }

    #[test]
    fn what_is_lost_is_named_and_what_was_discarded_is_no_alarm() {
        let lost = ItemState::Lost {
            reason: "no such session".into(),
        };
        let report = Report::new(&journal(alloc::vec![item(lost.clone(), true)])).unwrap();
        assert!(report.has_required_loss());
        assert_eq!(report.lost[0].item, "arena");
        assert_eq!(report.clients[0].bytes, 0);
        let optional = Report::new(&journal(alloc::vec![item(lost, false)])).unwrap();
        assert!(!optional.has_required_loss());
        let asked = Report::new(&journal(alloc::vec![item(ItemState::Discarded, true)])).unwrap();
        assert!(!asked.has_required_loss());
        assert_eq!(asked.lost.len(), 1);
    }

    #[test]
    fn no_update_no_report() {
        assert!(Report::new(&Journal::default()).is_none());
    }
}
