//! The dialect of the v4 series: one state of the machine that events move.
//!
//! Source: LUO v4 series (September 2025), `luo_core.c`, `luo_ioctl.c` (patch 12) and
//! `luo_session.c` (patch 14). Where the series would break its own rules, this does not:
//!
//! * a failed freeze leaves the handover finalized and announced in the series, so that no later
//!   PREPARE can succeed; here it is taken back;
//! * memory is not unpreserved while the handover is finalized, but freed; here the handover is
//!   opened for that moment;
//! * a preserved session is known by its name from the first CREATE on, not from the first
//!   RETRIEVE, which panics when the name is taken by then.

mod commands;
mod files;
mod handover;
mod layout;
mod sessions;
mod subsystems;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use kho::{KhoError, KhoMem, PhysAddr, SubtreeError};
use kho_abi::luo::ENTRY_NAME;
use liveupdate_uapi::v4::LiveupdateState;

use crate::SessionId;
use crate::boot_error::BootError;
use crate::engine::SessionInfo;
use crate::errno::Errno;
use crate::handler::Core;
use layout::SESSIONS;
use sessions::Sessions;
use subsystems::Members;
pub use subsystems::{Subsystem, SubsystemId};

/// LUO of one boot.
pub(crate) struct V4<M, F> {
    state: LiveupdateState,
    members: Members<M>,
    sessions: Sessions<F>,
    /// The FDT of the next kernel, while there is one.
    fdt_out: Option<PhysAddr>,
    /// What was received: where, names of subsystems and their words.
    fdt_in: Option<(PhysAddr, Vec<(String, u64)>)>,
    panic: Option<BootError>,
}

impl<M: KhoMem, F: Clone> V4<M, F> {
    /// `luo_startup()`.
    pub(crate) fn boot(core: &mut Core<M, F>) -> Result<Self, BootError> {
        let mut v4 = Self {
            state: LiveupdateState::NORMAL,
            members: Members::new(),
            sessions: Sessions::new(),
            fdt_out: None,
            fdt_in: None,
            panic: None,
        };
        let addr = match core.kho.retrieve_subtree(ENTRY_NAME) {
            Ok((addr, _)) => addr,
            Err(KhoError::Subtree(SubtreeError::Missing { .. })) => return Ok(v4),
            Err(error) => return Err(error.into()),
        };
        let page = core.kho.memory().read_page(addr).map_err(KhoError::from)?;
        let words = layout::read_root(&page)?;
        let sessions = words.iter().find(|(name, _)| name == SESSIONS);
        let missing = || BootError::Property {
            name: SESSIONS.into(),
        };
        let (_, data) = sessions.ok_or_else(missing)?;
        v4.sessions.boot(&core.kho, *data)?;
        v4.fdt_in = Some((addr, words));
        v4.state = LiveupdateState::UPDATED;
        Ok(v4)
    }

    pub(crate) fn state(&self) -> LiveupdateState {
        self.state
    }

    pub(crate) fn panic(&self) -> Option<&BootError> {
        self.panic.as_ref()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionInfo> {
        self.sessions.all().map(|(id, session)| SessionInfo {
            id,
            name: session.name.to_bytes(),
            is_incoming: session.state == LiveupdateState::UPDATED,
            tokens: sessions::tokens(session),
        })
    }

    /// Members come and go in `NORMAL` and `UPDATED` only.
    pub(crate) fn ensure_open_for_members(&self) -> Result<(), Errno> {
        if [LiveupdateState::NORMAL, LiveupdateState::UPDATED].contains(&self.state) {
            Ok(())
        } else {
            Err(Errno::EBUSY)
        }
    }

    pub(crate) fn register(
        &mut self,
        core: &mut Core<M, F>,
        subsystem: Box<dyn Subsystem<M>>,
    ) -> Result<SubsystemId, Errno> {
        self.ensure_open_for_members()?;
        let id = self.members.register(subsystem)?;
        if let Ok(data) = self.subsystem_data(id) {
            self.members.boot(&mut core.kho, id, data);
        }
        Ok(id)
    }

    pub(crate) fn unregister(&mut self, id: SubsystemId) -> Result<(), Errno> {
        self.ensure_open_for_members()?;
        self.members.unregister(id)
    }

    pub(crate) fn subsystem_data(&self, id: SubsystemId) -> Result<u64, Errno> {
        let (_, words) = self.fdt_in.as_ref().ok_or(Errno::ENOENT)?;
        let name = self.members.name(id).ok_or(Errno::ENOENT)?;
        let word = words.iter().find(|(it, _)| it == name);
        word.map(|(_, word)| *word).ok_or(Errno::ENOENT)
    }

    /// The kernel is gone.
    fn ensure_alive(&self) -> Result<(), Errno> {
        match self.panic {
            Some(_) => Err(Errno::ERESTARTSYS),
            None => Ok(()),
        }
    }

    /// Remembers a panic.
    fn or_panic(&mut self, result: Result<(), BootError>) -> Result<(), Errno> {
        result.map_err(|error| {
            self.panic = Some(error);
            Errno::ERESTARTSYS
        })
    }

    fn import(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        let imported = self.sessions.import(core);
        self.or_panic(imported)
    }

    pub(crate) fn release(&mut self, core: &mut Core<M, F>, id: SessionId) -> Result<(), Errno> {
        self.ensure_alive()?;
        let sessions = &mut self.sessions;
        with_open_handover(core, |core| sessions.release(core, id));
        Ok(())
    }

    /// `liveupdate_reboot()`: a jump in any other state than `PREPARED` is none of LUO's business.
    pub(crate) fn reboot(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        self.ensure_alive()?;
        if self.state != LiveupdateState::PREPARED {
            return Ok(());
        }
        let (members, sessions) = (&mut self.members, &mut self.sessions);
        let frozen = with_open_handover(core, |core| members.freeze(core, sessions));
        match frozen.and_then(|()| self.commit(core)) {
            Ok(()) => {
                self.state = LiveupdateState::FROZEN;
                Ok(())
            }
            Err(errno) => {
                // It is finalized, or `kho_finalize()` failed after PREPARE.
                core.kho.abort().ok();
                self.destroy_fdt(core);
                self.state = LiveupdateState::NORMAL;
                Err(errno)
            }
        }
    }

    /// `luo_prepare()`.
    fn prepare(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        if self.state != LiveupdateState::NORMAL {
            return Err(Errno::EINVAL);
        }
        self.create_fdt(core)?;
        let prepared = self.members.prepare(core, &mut self.sessions);
        if let Err(errno) = prepared.and_then(|()| self.commit(core)) {
            self.destroy_fdt(core);
            return Err(errno);
        }
        self.state = LiveupdateState::PREPARED;
        Ok(core.kho.finalize()?)
    }

    /// `luo_cancel()`.
    fn cancel(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        core.kho.abort()?;
        if ![LiveupdateState::PREPARED, LiveupdateState::FROZEN].contains(&self.state) {
            return Err(Errno::EINVAL);
        }
        self.members.cancel(core, &mut self.sessions);
        self.destroy_fdt(core);
        self.state = LiveupdateState::NORMAL;
        Ok(())
    }

    /// `luo_finish()`.
    fn finish(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        if self.state != LiveupdateState::UPDATED {
            return Err(Errno::EINVAL);
        }
        let Some((addr, words)) = self.fdt_in.take() else {
            return Err(Errno::EINVAL);
        };
        let finished = self.members.finish(core, &mut self.sessions, &words);
        self.or_panic(finished)?;
        // Memory that nobody preserved is a warning in the kernel.
        core.kho.restore_free(addr).ok();
        self.state = LiveupdateState::NORMAL;
        Ok(())
    }

    /// `luo_fdt_setup()`: a page with a word for each member, 0 for now.
    fn create_fdt(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        let page_bytes = core.kho.memory().page_size().bytes();
        let page_bytes = u64::try_from(page_bytes).unwrap_or(u64::MAX);
        let page = core.kho.alloc_preserve(page_bytes)?;
        let made = self
            .write_fdt(core, page)
            .and_then(|()| Ok(core.kho.add_subtree(ENTRY_NAME, page, page_bytes)?));
        if let Err(errno) = made {
            core.kho.unpreserve_free(page)?;
            return Err(errno);
        }
        self.fdt_out = Some(page);
        Ok(())
    }

    fn destroy_fdt(&mut self, core: &mut Core<M, F>) {
        if let Some(page) = self.fdt_out.take() {
            // Both were made here, and the handover is open.
            core.kho.remove_subtree(page).ok();
            core.kho.unpreserve_free(page).ok();
        }
    }

    /// `luo_subsystems_commit_data_to_fdt()`.
    fn commit(&self, core: &mut Core<M, F>) -> Result<(), Errno> {
        let page = self.fdt_out.ok_or(Errno::ENOENT)?;
        self.write_fdt(core, page)
    }

    fn write_fdt(&self, core: &mut Core<M, F>, page: PhysAddr) -> Result<(), Errno> {
        let fdt = layout::write_root(&self.members.words());
        if fdt.len() > core.kho.memory().page_size().bytes() {
            return Err(Errno::ENOSPC);
        }
        let memory = core.kho.memory_mut();
        Ok(memory.write(page, &fdt).map_err(KhoError::from)?)
    }
}

/// Does `change` on a handover that is not finalized, and finalizes it again if it was.
fn with_open_handover<M: KhoMem, F: Clone, R>(
    core: &mut Core<M, F>,
    change: impl FnOnce(&mut Core<M, F>) -> R,
) -> R {
    let was_finalized = core.kho.abort().is_ok();
    let result = change(core);
    if was_finalized {
        // It was open a moment ago.
        core.kho.finalize().ok();
    }
    result
}
