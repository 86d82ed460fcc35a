//! What the engine knows besides the descriptors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use luod_api::manager::{self, EventKind};
use luod_api::{Code, Refusal};
use update::{Barrier, Event, Journal, Mark, MarkKind, Moment, Phase};

use crate::events::EventLog;
use crate::mailbox::Listener;

/// What to do while the host is prepared.
pub(crate) const UNDER_WAY_HINT: &str =
    "jump with `luoctl update --go-on`, or undo it with `luoctl cancel`";

/// Everything behind the engine's lock.
#[derive(Default)]
pub(crate) struct State {
    /// What survives: this process and this kernel.
    pub(crate) journal: Journal,
    /// Services whose programs are connected.
    pub(crate) live: BTreeMap<String, Live>,
    /// Which service a connection speaks for.
    pub(crate) connections: BTreeMap<u64, String>,
    /// The step under way; nothing else may change what is kept meanwhile.
    pub(crate) step: Option<Step>,
    /// This boot came by the journal's update, and this luod received it.
    pub(crate) came_by_update: bool,
    /// Services that took part in PREPARE: they must be there at FREEZE.
    pub(crate) participants: BTreeSet<String>,
    /// What happened, for whoever watches.
    pub(crate) events: EventLog,
}

/// Whom or what an event is about, and why.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About<'a> {
    pub(crate) service: Option<&'a str>,
    pub(crate) item: Option<&'a str>,
    pub(crate) detail: Option<&'a str>,
}

impl<'a> About<'a> {
    /// A service, and a word more.
    pub(crate) const fn service(service: &'a str, detail: Option<&'a str>) -> Self {
        Self {
            service: Some(service),
            item: None,
            detail,
        }
    }
}

/// A connected program.
pub(crate) struct Live {
    pub(crate) pid: u32,
    pub(crate) connections: BTreeSet<u64>,
    pub(crate) subscription: Option<Subscription>,
}

/// Its subscription.
pub(crate) struct Subscription {
    pub(crate) connection: u64,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) own_session: OwnSession,
}

/// Whether a subscriber preserves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnSession {
    /// luod preserves what it keeps for it.
    None,
    /// It gets an empty session before it is asked to prepare, and preserves in it.
    Wanted,
}

/// A step that waits for services.
pub(crate) struct Step {
    pub(crate) event: Event,
    pub(crate) barrier: Barrier,
    /// Given into keeping since the step began: not preserved yet.
    pub(crate) late: Vec<LateItem>,
}

/// An item that came during FREEZE.
pub(crate) struct LateItem {
    pub(crate) service: String,
    pub(crate) item: String,
    pub(crate) token: u64,
}

impl State {
    /// Refuses unless what is kept may change: phase NORMAL or UPDATED, no step under way.
    pub(crate) fn check_may_change(&self) -> Result<(), Refusal> {
        if let Some(step) = &self.step {
            let text = format!("the host is going through {}", step.event);
            return Err(Refusal::new(Code::WrongPhase, text).with_hint("try again afterwards"));
        }
        match self.journal.phase {
            Phase::Normal | Phase::Updated => Ok(()),
            phase => Err(Refusal::new(
                Code::WrongPhase,
                format!(
                    "the host is {phase}: what is preserved is fixed until the jump or a cancel"
                ),
            )
            .with_hint(UNDER_WAY_HINT)),
        }
    }

    /// Whether the host waits for `service` to stop for the jump.
    pub(crate) fn is_freezing(&self, service: &str) -> bool {
        let step = self.step.as_ref();
        step.is_some_and(|step| step.event == Event::Freeze && step.barrier.awaits(service))
    }

    /// Identity of the update under way or the last one.
    pub(crate) fn update_id(&self) -> String {
        self.journal
            .update
            .as_ref()
            .map(|update| update.id.clone())
            .unwrap_or_default()
    }

    /// Tells whoever watches.
    pub(crate) fn tell(&mut self, kind: EventKind, about: About<'_>, at: Moment) {
        let update = self.journal.update.as_ref();
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        self.events.add(manager::Event {
            number: 0,
            realtime_ns: at.realtime_ns,
            update_id: update.map(|update| update.id.clone()),
            phase: self.journal.phase,
            kind,
            service: owned(about.service),
            item: owned(about.item),
            detail: owned(about.detail),
        });
    }

    /// Adds a mark to the update's timeline; before the first update there is none.
    pub(crate) fn mark(&mut self, kind: MarkKind, service: Option<&str>, at: Moment) {
        let update = self.journal.update.as_ref();
        let cancelled = update.and_then(|update| update.cancelled.clone());
        let about = About {
            service,
            detail: cancelled.as_deref().filter(|_| kind == MarkKind::Cancelled),
            ..About::default()
        };
        self.tell(EventKind::Mark(kind), about, at);
        if let Some(update) = &mut self.journal.update {
            let service = service.map(ToOwned::to_owned);
            update.timeline.marks.push(Mark { kind, service, at });
        }
    }

    /// Adds a mark that tells of the first time only.
    pub(crate) fn mark_once(&mut self, kind: MarkKind, service: Option<&str>, at: Moment) {
        let seen = self
            .journal
            .update
            .as_ref()
            .is_some_and(|update| match service {
                Some(service) => update.timeline.service(kind, service).is_some(),
                None => update.timeline.host(kind).is_some(),
            });
        if !seen {
            self.mark(kind, service, at);
        }
    }
}
