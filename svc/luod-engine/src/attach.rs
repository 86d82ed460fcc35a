//! Attach and detach: which connection speaks for which service.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use live_varlink::Peer;
use luod_api::manager::EventKind;
use luod_api::service::{Answer, Attached, Item, Veto};
use luod_api::{Code, Refusal};
use update::{Event, MarkKind, Phase, ServiceRecord};

use crate::engine::{Engine, service_name};
use crate::state::{About, Live, State, Subscription};

/// How long the end of a service may take to be noticed.
const END_PATIENCE: Duration = Duration::from_millis(500);

impl Engine {
    /// Makes a connection speak for a service, and registers the service if it is new.
    pub(crate) fn attach(&self, peer: &Peer, name: &str) -> Result<Attached, Refusal> {
        let name = service_name(name)?;
        let now = self.host.now();
        let mut state = self.wait_until_free(peer, name.as_str())?;
        if state.journal.service(name.as_str()).is_none() {
            // What it kept may be in there: it must not take nothing for a first start.
            self.check_handover(&state)?;
            state.check_may_change()?;
            self.limits.check_service(&state.journal, peer.uid)?;
            let record = ServiceRecord::new(name.as_str().to_owned(), peer.uid);
            state.journal.services.push(Arc::new(record));
            self.save(&state)?;
        }
        // A connection speaks for one service: the last it attached to.
        leave(&mut state, peer.connection);
        state
            .connections
            .insert(peer.connection, name.as_str().to_owned());
        let live = state
            .live
            .entry(name.as_str().to_owned())
            .or_insert_with(|| Live {
                pid: peer.pid,
                connections: BTreeSet::new(),
                subscription: None,
            });
        live.connections.insert(peer.connection);
        // A program has several connections; one line tells of it.
        if live.connections.len() == 1 {
            tracing::info!(service = %name, pid = peer.pid, uid = peer.uid, "service attached");
            let about = About::service(name.as_str(), None);
            state.tell(EventKind::Attached, about, now);
        }
        if state.journal.phase == Phase::Updated {
            state.mark_once(MarkKind::ServiceAttached, Some(name.as_str()), now);
        }
        attached(&state, name.as_str())
    }

    /// Forgets a connection; a service without one has ended.
    pub(crate) fn detach(&self, peer: &Peer) {
        let mut state = self.state();
        if let Some(service) = leave(&mut state, peer.connection) {
            tracing::info!(%service, pid = peer.pid, "service ended");
            let about = About::service(&service, None);
            state.tell(EventKind::Ended, about, self.host.now());
            if let Some(step) = &mut state.step {
                step.barrier.ended(&service);
            }
            self.changed.notify_all();
            self.unregister_if_empty(&mut state, &service);
        }
    }
}

impl Engine {
    /// A service that keeps nothing is only a name; it is free again when its program ends.
    fn unregister_if_empty(&self, state: &mut State, service: &str) {
        let is_empty = |record: &ServiceRecord| record.items.is_empty() && record.session.is_none();
        if state.check_may_change().is_err()
            || !state.journal.service(service).is_some_and(is_empty)
        {
            return;
        }
        state
            .journal
            .services
            .retain(|record| record.name != service);
        if let Err(refusal) = self.save(state) {
            tracing::error!(%refusal, "the journal was not saved");
        }
    }
}

impl Engine {
    /// The state, once nobody else speaks for `name`. A supervisor starts a service again as soon
    /// as it has ended, and may be faster than our own thread that sees its connection close.
    fn wait_until_free(&self, peer: &Peer, name: &str) -> Result<MutexGuard<'_, State>, Refusal> {
        let end = Instant::now() + END_PATIENCE;
        let mut state = self.state();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match check_free(&state, peer, name) {
                Err(_) if is_spoken_for(&state, peer, name) && !left.is_zero() => {}
                answer => return answer.map(|()| state),
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Makes a connection the one that hears of a service's steps.
    pub(crate) fn set_subscription(
        &self,
        peer: &Peer,
        service: &str,
        subscription: Subscription,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        self.check_attached(&state, peer, service)?;
        let Some(live) = state.live.get_mut(service) else {
            return Err(Refusal::new(Code::Internal, "the service vanished"));
        };
        if live.subscription.is_some() {
            let text = format!("{service:?} has a subscription already");
            return Err(Refusal::new(Code::NameTaken, text));
        }
        live.subscription = Some(subscription);
        Ok(())
    }

    /// A service is ready for what follows a step.
    pub(crate) fn ready(&self, peer: &Peer, answer: &Answer) -> Result<(), Refusal> {
        let now = self.host.now();
        let mut state = self.state();
        self.check_attached(&state, peer, &answer.service)?;
        check_update(&state, &answer.update_id)?;
        match &mut state.step {
            Some(step) if step.event == answer.event => step.barrier.ready(&answer.service),
            _ => {
                let text = format!("nobody waits for an answer to {}", answer.event);
                return Err(Refusal::new(Code::WrongPhase, text));
            }
        }
        let step = answer.event.to_string();
        let about = About::service(&answer.service, Some(&step));
        state.tell(EventKind::Ready, about, now);
        if answer.event == Event::Freeze {
            state.mark_once(MarkKind::ServiceFrozen, Some(&answer.service), now);
        }
        self.changed.notify_all();
        Ok(())
    }

    /// A service refuses the update under way.
    pub(crate) fn veto(&self, peer: &Peer, veto: &Veto) -> Result<(), Refusal> {
        let mut state = self.state();
        self.check_attached(&state, peer, &veto.service)?;
        check_update(&state, &veto.update_id)?;
        let Some(step) = &mut state.step else {
            let text = "nobody waits for an answer: a veto is possible during prepare and freeze";
            return Err(Refusal::new(Code::WrongPhase, text));
        };
        step.barrier.veto(&veto.service, &veto.reason);
        let about = About::service(&veto.service, Some(&veto.reason));
        state.tell(EventKind::Vetoed, about, self.host.now());
        self.changed.notify_all();
        Ok(())
    }
}

fn check_update(state: &State, update_id: &str) -> Result<(), Refusal> {
    if state.update_id() == update_id {
        return Ok(());
    }
    let text = format!(
        "the update under way is {:?}, not {update_id:?}",
        state.update_id()
    );
    Err(Refusal::new(Code::WrongPhase, text))
}

fn attached(state: &State, name: &str) -> Result<Attached, Refusal> {
    let record = state
        .journal
        .service(name)
        .ok_or_else(|| Refusal::new(Code::Internal, "the service vanished"))?;
    let item = |item: &update::ItemRecord| Item {
        name: item.name.clone(),
        token: item.token,
        schema: item.schema,
        size_bytes: item.size_bytes,
        seals: item.seals,
        state: item.state.clone(),
    };
    Ok(Attached {
        phase: state.journal.phase,
        is_incoming: record.is_incoming(),
        items: record.items.iter().map(item).collect(),
    })
}

/// Whether a program other than the peer's has the name.
fn is_spoken_for(state: &State, peer: &Peer, name: &str) -> bool {
    state
        .live
        .get(name)
        .is_some_and(|live| live.pid != peer.pid)
}

fn check_free(state: &State, peer: &Peer, name: &str) -> Result<(), Refusal> {
    if let Some(record) = state.journal.service(name) {
        if record.uid != peer.uid && peer.uid != 0 {
            let text = format!(
                "the name {name:?} belongs to user {}, this program runs as user {}",
                record.uid, peer.uid
            );
            return Err(Refusal::new(Code::NameTaken, text).with_hint("choose another name"));
        }
    }
    match state.live.get(name) {
        Some(live) if live.pid != peer.pid => {
            let text = format!("the name {name:?} is in use by process {}", live.pid);
            Err(Refusal::new(Code::NameTaken, text)
                .with_hint("end that program or choose another name"))
        }
        _ => Ok(()),
    }
}

/// Takes a connection from its service; the service's name if that was its last.
fn leave(state: &mut State, connection: u64) -> Option<String> {
    let service = state.connections.remove(&connection)?;
    let live = state.live.get_mut(&service)?;
    live.connections.remove(&connection);
    if live
        .subscription
        .as_ref()
        .is_some_and(|own| own.connection == connection)
    {
        live.subscription = None;
        // Who does not listen any more does not answer either.
        if let Some(step) = &mut state.step {
            step.barrier.ended(&service);
        }
    }
    if live.connections.is_empty() {
        state.live.remove(&service);
        return Some(service);
    }
    None
}
