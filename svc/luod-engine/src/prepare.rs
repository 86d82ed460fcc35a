//! PREPARE: load the next kernel, ask every service, preserve everything. Services go on working.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use luod_api::manager::{EventKind, Progress};
use luod_api::{Code, Refusal};
use preflight::{Check, Finding};
use update::{
    Barrier, BarrierOutcome, Event, ItemRecord, ItemState, MarkKind, Moment, Phase, ServiceName,
    SessionRecord, SessionState, Timeline, UpdateRecord,
};

use crate::engine::{Engine, JOURNAL_SESSION, item_key, session_key};
use crate::host::LoadRequest;
use crate::state::{About, OwnSession, State, Step, UNDER_WAY_HINT};

/// Where steps done are told to.
pub(crate) type Watcher<'a> = &'a mut dyn FnMut(Progress);

/// One service's part of PREPARE, taken out of the state so that the kernel can work on it while
/// the state is free.
struct Part {
    service: String,
    items: Vec<(String, u64, OwnedFd)>,
}

impl Engine {
    /// NORMAL → PREPARED, or everything is as before.
    pub(crate) fn prepare(
        &self,
        request: &LoadRequest,
        deadline: Duration,
        watcher: Watcher<'_>,
    ) -> Result<(), Refusal> {
        if let Err(refusal) = self.begin_prepare(request) {
            let (now, reason) = (self.host.now(), refusal.to_string());
            let about = About {
                detail: Some(&reason),
                ..About::default()
            };
            self.state().tell(EventKind::Refused, about, now);
            return Err(refusal);
        }
        let answer = self.load_and_preserve(request, deadline, watcher);
        if let Err(refusal) = &answer {
            let mut state = self.state();
            self.roll_back(&mut state, &refusal.to_string());
            self.save(&state)?;
        }
        // Whoever is told of the end of PREPARE may go on with something that a lock would refuse.
        self.host.settle_guard();
        answer
    }

    /// Everything that can be refused before anything is touched.
    fn begin_prepare(&self, request: &LoadRequest) -> Result<(), Refusal> {
        let now = self.host.now();
        let mut state = self.state();
        self.check_handover(&state)?;
        let unfinished = state.journal.unfinished();
        if !unfinished.is_empty() {
            let text = format!(
                "the last update is unfinished: what {} has not finished would be lost in the next jump",
                unfinished.join(", ")
            );
            return Err(Refusal::new(Code::Unfinished, text).with_hint(
                "start these services and let them finish, or give it up with `luoctl finish --discard`",
            ));
        }
        state
            .journal
            .phase
            .after(Event::Prepare)
            .map_err(|error| Refusal::new(Code::WrongPhase, error).with_hint(UNDER_WAY_HINT))?;
        state.check_may_change()?;
        // Before the next kernel: where live update is off, a reused command line lacks the word
        // too, and adding it there would not help.
        let device = self.host.device_status();
        if !device.is_usable {
            return Err(Refusal::new(Code::NoLiveUpdate, device.reason));
        }
        self.host.check_service_manager()?;
        check_room(self.keeper.room(), sessions(&state))?;
        check_findings(&self.host.check(request)?, &request.force)?;
        self.host.load(request)?;
        let facts = self.host.facts();
        // Reported with the update they were discarded after; a new record starts here.
        for service in state.journal.services_mut() {
            service
                .items
                .retain(|item| item.state != ItemState::Discarded);
        }
        state.journal.update = Some(UpdateRecord {
            id: match &request.update_id {
                Some(id) => id.as_str().to_owned(),
                None => update_id(now),
            },
            from_release: facts.release,
            systemd_kexec_count: facts.systemd_kexec_count,
            timeline: Timeline {
                ticks_hz: self.host.ticks_hz(),
                ..Timeline::default()
            },
            ..UpdateRecord::default()
        });
        state.mark(MarkKind::Requested, None, now);
        state.mark(MarkKind::Loaded, None, self.host.now());
        let participants = subscribers(&state);
        state.participants = participants.iter().cloned().collect();
        let barrier = Barrier::new(participants);
        state.step = Some(Step {
            event: Event::Prepare,
            barrier,
            late: Vec::new(),
        });
        let saved = self.save(&state);
        if let Err(refusal) = &saved {
            self.roll_back(&mut state, &refusal.to_string());
        }
        saved
    }

    fn load_and_preserve(
        &self,
        request: &LoadRequest,
        deadline: Duration,
        watcher: Watcher<'_>,
    ) -> Result<(), Refusal> {
        let kernel = request.kernel.len_bytes() >> 10;
        watcher(progress(
            Phase::Normal,
            format!("loaded the next kernel ({kernel} KiB)"),
        ));
        self.state()
            .mark(MarkKind::PrepareStarted, None, self.host.now());
        self.create_own_sessions()?;
        self.wait_for_services(Event::Prepare, deadline)?;
        self.prepare_programs(deadline)?;
        let parts = self.parts()?;
        self.settle_names()?;
        let journal_session = self.host.create_session(ServiceName::JOURNAL_SESSION)?;
        self.keep(JOURNAL_SESSION, journal_session)?;
        let mut bytes = 0_u64;
        for part in &parts {
            bytes = bytes.saturating_add(self.preserve_part(part)?);
        }
        let services = parts.len();
        let mut state = self.state();
        // A service may have ended, or the operator changed their mind, while the kernel worked.
        if let Some(outcome) = state.step.as_ref().and_then(|step| step.barrier.outcome()) {
            check_outcome(&outcome, Event::Prepare)?;
        }
        let phase = state.journal.phase.after(Event::Prepare);
        state.journal.phase = phase.map_err(|error| Refusal::new(Code::WrongPhase, error))?;
        state.step = None;
        state.mark(MarkKind::Prepared, None, self.host.now());
        self.save(&state)?;
        drop(state);
        let plural = if services == 1 { "" } else { "s" };
        let text = format!(
            "preserved {} MiB of {services} service{plural}",
            bytes >> 20
        );
        watcher(progress(Phase::Prepared, text));
        Ok(())
    }

    /// Names of sessions that were just closed are free afterwards.
    pub(crate) fn settle_names(&self) -> Result<(), Refusal> {
        let settled = self.keeper.settle();
        settled.map_err(|error| crate::engine::internal(&error))
    }

    /// Refuses when files have grown past what their user may have kept: what is preserved cannot be
    /// given back before the jump.
    fn check_limits(&self, state: &State) -> Result<(), Refusal> {
        for service in &state.journal.services {
            let held = |item: &&ItemRecord| item.state == ItemState::Held;
            for item in service.items.iter().filter(held) {
                let fd = self.kept(&item_key(&service.name, &item.name))?;
                let (added, replaced) = (crate::preservable::check(fd.as_fd())?, item.size_bytes);
                self.limits
                    .check_memory(&state.journal, service.uid, added.size_bytes, replaced)
                    .map_err(|refusal| Refusal {
                        message: format!(
                            "{:?} of {:?} has grown: {}",
                            item.name, service.name, refusal.message
                        ),
                        ..refusal
                    })?;
            }
        }
        Ok(())
    }

    /// Duplicates of everything to be preserved.
    fn parts(&self) -> Result<Vec<Part>, Refusal> {
        let state = self.state();
        self.check_limits(&state)?;
        let mut parts = Vec::new();
        for service in &state.journal.services {
            let mut items = Vec::new();
            for item in service
                .items
                .iter()
                .filter(|item| item.state == ItemState::Held)
            {
                let fd = self.kept(&item_key(&service.name, &item.name))?;
                items.push((item.name.clone(), item.token, fd));
            }
            if !items.is_empty() {
                let service = service.name.clone();
                parts.push(Part { service, items });
            }
        }
        Ok(parts)
    }

    /// Creates a service's session and preserves its items; the bytes preserved.
    fn preserve_part(&self, part: &Part) -> Result<u64, Refusal> {
        let session = match self.keeper.get(&session_key(&part.service)) {
            Some(_) => self.kept(&session_key(&part.service))?,
            None => self.create_session(&mut self.state(), &part.service)?,
        };
        let mut bytes = 0_u64;
        for (item, token, fd) in &part.items {
            let preserved =
                self.preserve_item(session.as_fd(), &part.service, item, *token, fd.as_fd())?;
            bytes = bytes.saturating_add(preserved);
        }
        Ok(bytes)
    }

    /// Creates a service's session; the holder has it as well.
    pub(crate) fn create_session(
        &self,
        state: &mut State,
        service: &str,
    ) -> Result<OwnedFd, Refusal> {
        let name = crate::engine::service_name(service)?.session();
        let session = self.host.create_session(&name)?;
        let duplicate = session
            .try_clone()
            .map_err(|error| crate::engine::internal(&error))?;
        self.keep(&session_key(service), duplicate)?;
        if let Some(record) = state.journal.service_mut(service) {
            record.session = Some(SessionRecord {
                name,
                state: SessionState::Outgoing,
            });
        }
        Ok(session)
    }

    /// Preserves one item; its bytes.
    pub(crate) fn preserve_item(
        &self,
        session: BorrowedFd<'_>,
        service: &str,
        item: &str,
        token: u64,
        fd: BorrowedFd<'_>,
    ) -> Result<u64, Refusal> {
        self.host
            .preserve(session, fd, token)
            .map_err(|refusal| Refusal {
                message: format!(
                    "{item:?} of {service:?} cannot be preserved: {}",
                    refusal.message
                ),
                ..refusal
            })?;
        // As preserved: its size cannot change any more.
        let found = crate::preservable::check(fd)?;
        self.record_preserved(service, item, found);
        Ok(found.size_bytes)
    }

    fn record_preserved(&self, service: &str, item: &str, found: crate::preservable::Preservable) {
        let mut state = self.state();
        let items = state
            .journal
            .service_mut(service)
            .map(|record| &mut record.items);
        if let Some(record) = items
            .into_iter()
            .flatten()
            .find(|record| record.name == item)
        {
            record.size_bytes = found.size_bytes;
            record.seals = found.seals;
        }
    }

    /// Tells the step under way to the services and waits for all of them.
    pub(crate) fn wait_for_services(
        &self,
        event: Event,
        deadline: Duration,
    ) -> Result<(), Refusal> {
        let end = Instant::now() + deadline;
        let mut state = self.state();
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.notify(&mut state, event, deadline_ms);
        loop {
            let Some(step) = &state.step else {
                return Err(Refusal::new(Code::Internal, "the step vanished"));
            };
            if let Some(outcome) = step.barrier.outcome() {
                return check_outcome(&outcome, event);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!(
                    "{} did not answer {event} within {} ms; the update is cancelled",
                    step.barrier.awaited().join(", "),
                    deadline.as_millis()
                );
                return Err(Refusal::new(Code::Cancelled, text)
                    .with_hint("see that service's log, or give more time with --deadline"));
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Refuses while an unreadable handover would be lost for good.
    pub(crate) fn check_handover(&self, state: &State) -> Result<(), Refusal> {
        match &state.journal.handover_error {
            None => Ok(()),
            Some(reason) => Err(Refusal::new(
                Code::HandoverUnreadable,
                format!("what the previous kernel handed over cannot be read: {reason}"),
            )
            .with_hint(
                "cold-boot after saving what you can, or give it up for good with `luoctl finish --discard`",
            )),
        }
    }
}

/// Names of the services that take part in steps.
pub(crate) fn subscribers(state: &State) -> BTreeSet<String> {
    let subscribed = state
        .live
        .iter()
        .filter(|(_, live)| live.subscription.is_some());
    subscribed.map(|(name, _)| name.clone()).collect()
}

/// How many sessions an update makes: one for each service that keeps something or preserves by itself, and the journal's.
pub(crate) fn sessions(state: &State) -> usize {
    let of_own = |service: &str| {
        let live = state.live.get(service);
        let subscription = live.and_then(|live| live.subscription.as_ref());
        subscription.is_some_and(|own| own.own_session == OwnSession::Wanted)
    };
    let services = state.journal.services.iter();
    let with_session = services.filter(|service| {
        let mut items = service.items.iter();
        items.any(|item| item.state == ItemState::Held) || of_own(&service.name)
    });
    with_session.count().saturating_add(1)
}

/// Refuses when whoever has the duplicates has no room for as many sessions.
pub(crate) fn check_room(room: Option<usize>, sessions: usize) -> Result<(), Refusal> {
    let Some(room) = room.filter(|room| *room < sessions) else {
        return Ok(());
    };
    let text = format!(
        "the update makes {sessions} sessions, and systemd stores only {room} descriptors more for luod"
    );
    Err(Refusal::new(Code::LimitReached, text).with_hint(
        "have services keep fewer files, or raise FileDescriptorStoreMax= of luod.service, up to 5200",
    ))
}

pub(crate) fn check_outcome(outcome: &BarrierOutcome, event: Event) -> Result<(), Refusal> {
    let text = match outcome {
        BarrierOutcome::Passed => return Ok(()),
        BarrierOutcome::Vetoed { service, reason } => {
            format!("{service} refused {event}: {reason}; the update is cancelled")
        }
        BarrierOutcome::Ended { service } => {
            let text = format!(
                "{service} ended during {event}; the update is cancelled, its memory is still kept"
            );
            return Err(Refusal::new(Code::Cancelled, text).with_hint("start it again"));
        }
        BarrierOutcome::Cancelled { reason } => format!("cancelled: {reason}"),
    };
    Err(Refusal::new(Code::Cancelled, text))
}

pub(crate) fn progress(phase: Phase, message: String) -> Progress {
    Progress { message, phase }
}

/// What is found of the next kernel stops the update unless it is forced; each finding is told.
fn check_findings(findings: &[Finding], force: &[Check]) -> Result<(), Refusal> {
    let stops: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.stops() && !force.contains(&finding.check))
        .collect();
    if stops.is_empty() {
        return Ok(());
    }
    let messages: Vec<_> = stops
        .iter()
        .map(|finding| format!("{} ({})", finding.message, finding.check.name()))
        .collect();
    let names: Vec<_> = stops.iter().map(|finding| finding.check.name()).collect();
    let mut hints = vec!["nothing was changed"];
    hints.extend(
        stops
            .iter()
            .map(|finding| finding.hint.as_str())
            .filter(|hint| !hint.is_empty()),
    );
    hints.dedup();
    let force = format!(
        "`luoctl check` tells everything, --force {} goes on all the same",
        names.join(",")
    );
    hints.push(&force);
    let text = format!("the next kernel: {}", messages.join("; "));
    Err(Refusal::new(Code::ImageRefused, text).with_hint(hints.join("; ")))
}

/// A random identity, from the kernel.
fn update_id(now: Moment) -> String {
    match fs::read_to_string("/proc/sys/kernel/random/uuid") {
        Ok(uuid) => uuid.trim().to_owned(),
        // A kernel without sysctl: good enough to tell one update from the next.
        Err(_error) => format!("at-{}-by-{}", now.realtime_ns, std::process::id()),
    }
}
