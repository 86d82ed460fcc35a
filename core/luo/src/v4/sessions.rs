//! Sessions of the v4 series: one list for all of them, each with a state of its own (patches 11
//! and 14, `luo_session.c`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kho::{Kho, KhoError, KhoMem, PhysAddr};
use liveupdate_uapi::v4::LiveupdateState;

use super::files::Files;
use super::handover::{ENTRY_BYTES, Handover, entry_at};
use super::layout::{NAME_LENGTH, SessionSer};
use crate::SessionId;
use crate::boot_error::BootError;
use crate::errno::Errno;
use crate::handler::Core;
use crate::name::Name;

pub(super) struct Session<F> {
    pub(super) name: Name,
    pub(super) state: LiveupdateState,
    pub(super) files: Files<F>,
    retrieved: bool,
    /// Where it is written down since the machine was prepared.
    entry: Option<PhysAddr>,
}

pub(super) struct Sessions<F> {
    sessions: BTreeMap<SessionId, Session<F>>,
    /// Made by prepare, or received.
    handover: Option<Handover>,
    /// The one that was received is not read yet.
    is_waiting: bool,
}

impl<F: Clone> Sessions<F> {
    pub(super) fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
            handover: None,
            is_waiting: false,
        }
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session<F>> {
        self.sessions.get_mut(&id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (SessionId, &Session<F>)> {
        self.sessions.iter().map(|(&id, session)| (id, session))
    }

    /// `luo_session_boot()`. The rest is read when it is needed first.
    pub(super) fn boot<M: KhoMem>(&mut self, kho: &Kho<M>, data: u64) -> Result<(), BootError> {
        let handover = Handover::read(kho, PhysAddr(data))?;
        self.is_waiting = handover.count != 0;
        self.handover = Some(handover);
        Ok(())
    }

    /// `luo_session_deserialize()`; Linux panics where this fails.
    pub(super) fn import<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), BootError> {
        let Some(handover) = self.handover.filter(|_| self.is_waiting) else {
            return Ok(());
        };
        self.is_waiting = false;
        let damaged = |what| BootError::Session { what };
        let entries = handover.entries.unwrap_or(PhysAddr(0));
        let bytes = core.kho.received_bytes(entries);
        let bytes = bytes.ok_or(damaged("its entries were not preserved"))?;
        if handover
            .count
            .checked_mul(ENTRY_BYTES)
            .is_none_or(|wanted| wanted > bytes)
        {
            return Err(damaged("there are more entries than memory for them"));
        }
        for index in 0..handover.count {
            let at = entry_at(entries, index).ok_or(damaged("its entry has no address"))?;
            let ser: SessionSer = core.kho.memory().read_value(at).map_err(KhoError::from)?;
            let name = Name::copy(&ser.name, NAME_LENGTH);
            // Closed after it was prepared.
            if name.is_empty() {
                continue;
            }
            if self.find(&name).is_some() {
                return Err(damaged("its name is taken"));
            }
            let session = Session {
                name,
                state: LiveupdateState::UPDATED,
                files: Files::import(core, ser.files, ser.count)?,
                retrieved: false,
                entry: None,
            };
            self.sessions.insert(core.new_session(), session);
        }
        Ok(())
    }

    fn find(&self, name: &Name) -> Option<SessionId> {
        let same = |(_, session): &(&SessionId, &Session<F>)| session.name == *name;
        self.sessions.iter().find(same).map(|(&id, _)| id)
    }

    /// `luo_session_create()`. Nothing is wrong with an empty name here.
    pub(super) fn create(&mut self, id: SessionId, name: Name) -> Result<SessionId, Errno> {
        if self.find(&name).is_some() {
            return Err(Errno::EEXIST);
        }
        let session = Session {
            name,
            state: LiveupdateState::NORMAL,
            files: Files::new(),
            retrieved: false,
            entry: None,
        };
        self.sessions.insert(id, session);
        Ok(id)
    }

    /// `luo_session_retrieve()`.
    pub(super) fn retrieve(&mut self, name: &Name) -> Result<SessionId, Errno> {
        let id = self.find(name).ok_or(Errno::ENOENT)?;
        let session = self.sessions.get_mut(&id).ok_or(Errno::ENOENT)?;
        if session.retrieved || session.state != LiveupdateState::UPDATED {
            return Err(Errno::EADDRINUSE);
        }
        session.retrieved = true;
        Ok(id)
    }

    /// Makes a session retrievable again whose descriptor nobody got.
    pub(super) fn unretrieve(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.retrieved = false;
        }
    }

    /// `luo_session_release()`.
    pub(super) fn release<M: KhoMem>(&mut self, core: &mut Core<M, F>, id: SessionId) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        session.finish(core);
        session.cancel(core);
        session.files.forget_all();
    }

    /// `luo_session_prepare()`: the data of the subsystem.
    pub(super) fn prepare<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<u64, Errno> {
        let count = u64::try_from(self.sessions.len()).unwrap_or(u64::MAX);
        let handover = Handover::create(&mut core.kho, count)?;
        self.handover = Some(handover);
        let prepared = self.prepare_all(core, handover);
        if let Err(errno) = prepared {
            self.cancel(core);
            return Err(errno);
        }
        Ok(handover.fdt.0)
    }

    fn prepare_all<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        handover: Handover,
    ) -> Result<(), Errno> {
        for (index, session) in (0..).zip(self.sessions.values_mut()) {
            if session.state == LiveupdateState::NORMAL {
                session.prepare(core)?;
            }
            let ser = SessionSer {
                name: *session.name.as_array().first_chunk().ok_or(Errno::EINVAL)?,
                files: session.files.block().map_or(0, |block| block.0),
                pgcnt: 0,
                count: session.files.count(),
            };
            let at = handover
                .entries
                .and_then(|entries| entry_at(entries, index));
            let at = at.ok_or(Errno::ENOSPC)?;
            core.kho
                .memory_mut()
                .write_value(at, &ser)
                .map_err(KhoError::from)?;
            session.entry = Some(at);
        }
        Ok(())
    }

    /// `luo_session_freeze()`.
    pub(super) fn freeze<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        let mut prepared = self.sessions.values_mut();
        let frozen = prepared.try_for_each(|session| match session.state {
            LiveupdateState::PREPARED => session.freeze(core),
            _ => Ok(()),
        });
        if frozen.is_err() {
            self.cancel(core);
        }
        frozen
    }

    /// `luo_session_cancel()`.
    pub(super) fn cancel<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        for session in self.sessions.values_mut() {
            session.cancel(core);
        }
        if let Some(handover) = self.handover.take() {
            handover.give_up(&mut core.kho);
        }
    }

    /// `luo_session_finish()`: what nobody retrieved is dropped, the rest can be handed over again.
    pub(super) fn finish<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), BootError> {
        self.import(core)?;
        self.sessions.retain(|_, session| {
            let was_updated = session.state == LiveupdateState::UPDATED;
            session.finish(core);
            session.retrieved || !was_updated
        });
        if let Some(handover) = self.handover.take() {
            handover.free_received(&mut core.kho);
        }
        Ok(())
    }
}

impl<F: Clone> Session<F> {
    /// `luo_session_prepare_one()`.
    pub(super) fn prepare<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        if self.state != LiveupdateState::NORMAL {
            return Err(Errno::EBUSY);
        }
        self.files.prepare(core)?;
        self.state = LiveupdateState::PREPARED;
        Ok(())
    }

    /// `luo_session_freeze_one()`: a failure takes it back to `NORMAL`.
    pub(super) fn freeze<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        if self.state != LiveupdateState::PREPARED {
            return Err(Errno::EBUSY);
        }
        let frozen = self.files.freeze(core);
        self.state = match frozen {
            Ok(()) => LiveupdateState::FROZEN,
            Err(_) => LiveupdateState::NORMAL,
        };
        if frozen.is_err() {
            self.strike(&mut core.kho);
        }
        frozen
    }

    /// `luo_session_cancel_one()`; nothing in other states than `PREPARED` and `FROZEN`.
    pub(super) fn cancel<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        if [LiveupdateState::PREPARED, LiveupdateState::FROZEN].contains(&self.state) {
            self.files.cancel(core);
            self.state = LiveupdateState::NORMAL;
            self.strike(&mut core.kho);
        }
    }

    /// `luo_session_finish_one()`; nothing in other states than `UPDATED`.
    pub(super) fn finish<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        if self.state == LiveupdateState::UPDATED {
            self.files.finish(core);
            self.state = LiveupdateState::NORMAL;
        }
    }

    /// Takes it out of the handover. The series does so when the session is closed only, and hands
    /// over freed memory when it was canceled.
    fn strike<M: KhoMem>(&mut self, kho: &mut Kho<M>) {
        if let Some(at) = self.entry.take() {
            let zeros = SessionSer {
                name: [0; NAME_LENGTH],
                files: 0,
                pgcnt: 0,
                count: 0,
            };
            // Memory one has does not refuse to be written.
            kho.memory_mut().write_value(at, &zeros).ok();
        }
    }
}

/// Where one session stands, for those who look from outside.
pub(super) fn tokens<F: Clone>(session: &Session<F>) -> Vec<u64> {
    session.files.tokens().collect()
}
