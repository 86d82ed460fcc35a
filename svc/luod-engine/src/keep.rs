//! Keep, get, forget: a service's own descriptors.

use std::os::fd::{AsFd as _, OwnedFd};

use live_varlink::Peer;
use luod_api::service::{Finish, Keep, Named};
use luod_api::{Code, Refusal};
use update::{ItemRecord, ItemState, MarkKind, Phase};

use crate::engine::{Engine, item_key, session_key};
use crate::preservable;
use crate::state::LateItem;

/// Bytes of an item's name at most.
const MAX_ITEM_NAME: usize = 128;

impl Engine {
    /// Keeps a descriptor for a service. While the service is awaited at FREEZE a tmpfs file may still
    /// have its name: it is held here before its owner takes the name away, and preserved when the
    /// owner is ready. So what a program writes as it stops goes over as well, and there is no moment
    /// in which one process alone has it.
    pub(crate) fn keep_item(
        &self,
        peer: &Peer,
        request: &Keep,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Refusal> {
        let [fd] = <[OwnedFd; 1]>::try_from(fds).map_err(|fds| {
            let text = format!("Keep takes one descriptor, {} came along", fds.len());
            Refusal::new(Code::InvalidParameter, text)
        })?;
        check_item_name(&request.item)?;
        let mut state = self.state();
        self.check_attached(&state, peer, &request.service)?;
        let is_late = state.is_freezing(&request.service);
        let found = if is_late {
            preservable::check_but_for_its_name(fd.as_fd())?
        } else {
            state.check_may_change()?;
            preservable::check(fd.as_fd())?
        };
        let service = state
            .journal
            .service(&request.service)
            .ok_or_else(not_registered)?;
        let old = service.item(&request.item);
        let replaced = old.map_or(0, |item| item.size_bytes);
        if old.is_none() {
            self.limits.check_item(service)?;
        }
        let added = found.size_bytes;
        self.limits
            .check_memory(&state.journal, service.uid, added, replaced)?;
        let service = state
            .journal
            .service_mut(&request.service)
            .ok_or_else(not_registered)?;
        let old = service
            .items
            .iter()
            .position(|item| item.name == request.item);
        if is_late && old.is_some() {
            let text = format!("{:?} is preserved already", request.item);
            return Err(Refusal::new(Code::WrongPhase, text)
                .with_hint("what is kept at FREEZE needs a name of its own"));
        }
        let record = ItemRecord {
            name: request.item.clone(),
            token: old.map_or_else(|| service.free_token(), |at| service.items[at].token),
            schema: request.schema,
            required: request.required,
            size_bytes: found.size_bytes,
            seals: found.seals,
            state: ItemState::Held,
        };
        let late = LateItem {
            service: request.service.clone(),
            item: request.item.clone(),
            token: record.token,
        };
        self.keep(&item_key(&request.service, &request.item), fd)?;
        match old {
            Some(at) => service.items[at] = record,
            None => service.items.push(record),
        }
        if let Some(step) = state.step.as_mut().filter(|_| is_late) {
            step.late.push(late);
        }
        self.save(&state)
    }

    /// A duplicate of what is held for a restarted service.
    pub(crate) fn get_item(&self, peer: &Peer, request: &Named) -> Result<OwnedFd, Refusal> {
        let state = self.state();
        self.check_attached(&state, peer, &request.service)?;
        let service = state
            .journal
            .service(&request.service)
            .ok_or_else(not_registered)?;
        match service.item(&request.item).map(|item| &item.state) {
            Some(ItemState::Held) => self.kept(&item_key(&request.service, &request.item)),
            Some(ItemState::Incoming) => Err(Refusal::new(
                Code::WrongPhase,
                format!("{:?} is in the session that came over", request.item),
            )
            .with_hint("retrieve it from the session (GetSession)")),
            Some(ItemState::Lost { reason }) => Err(Refusal::new(
                Code::NotFound,
                format!("{:?} was lost: {reason}", request.item),
            )),
            Some(ItemState::Discarded) | None => Err(unknown_item(&request.item)),
        }
    }

    /// No longer keeps an item.
    pub(crate) fn forget_item(&self, peer: &Peer, request: &Named) -> Result<(), Refusal> {
        let mut state = self.state();
        self.check_attached(&state, peer, &request.service)?;
        state.check_may_change()?;
        let service = state
            .journal
            .service_mut(&request.service)
            .ok_or_else(not_registered)?;
        let at = service
            .items
            .iter()
            .position(|item| item.name == request.item);
        let at = at.ok_or_else(|| unknown_item(&request.item))?;
        if service.items[at].state == ItemState::Incoming {
            let text = format!("{:?} came over and is not retrieved", request.item);
            return Err(Refusal::new(Code::NotRetrieved, text)
                .with_hint("retrieve it, or name it in Finish to discard it"));
        }
        service.items.remove(at);
        self.save(&state)?;
        self.keeper
            .remove(&item_key(&request.service, &request.item));
        Ok(())
    }

    /// A duplicate of the session that came over.
    pub(crate) fn get_session(&self, peer: &Peer, service: &str) -> Result<OwnedFd, Refusal> {
        let state = self.state();
        self.check_attached(&state, peer, service)?;
        let record = state.journal.service(service).ok_or_else(not_registered)?;
        if !record.is_incoming() {
            let text = format!("no session came over for {service:?}, or it is finished");
            return Err(Refusal::new(Code::NotFound, text));
        }
        self.kept(&session_key(service))
    }

    /// A service works again.
    pub(crate) fn running(&self, peer: &Peer, service: &str) -> Result<(), Refusal> {
        let now = self.host.now();
        let mut state = self.state();
        self.check_attached(&state, peer, service)?;
        if state.journal.phase == Phase::Updated {
            state.mark_once(MarkKind::ServiceRunning, Some(service), now);
            self.save(&state)?;
        }
        Ok(())
    }

    /// A service has everything it wants of what came over.
    pub(crate) fn finish_service(&self, peer: &Peer, request: &Finish) -> Result<(), Refusal> {
        let mut state = self.state();
        self.check_attached(&state, peer, &request.service)?;
        self.finish_session(&mut state, &request.service, |item| {
            request.discard.contains(item)
        })
    }
}

fn check_item_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > MAX_ITEM_NAME || name.contains(['/', '\0']) {
        let text = format!(
            "{name:?} is no name for an item: 1 to {MAX_ITEM_NAME} bytes, without slash and NUL"
        );
        return Err(Refusal::new(Code::InvalidParameter, text));
    }
    Ok(())
}

fn unknown_item(name: &str) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!("nothing is kept under the name {name:?}"),
    )
}

pub(crate) fn not_registered() -> Refusal {
    Refusal::new(Code::NotFound, "no such service is registered")
}
