//! Subsystems: parts of the kernel that go through every update (LUO v4 series,
//! `luo_subsystems.c`). Sessions are one of them, the first.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use kho::{Kho, KhoMem};

use super::layout::SESSIONS;
use super::sessions::Sessions;
use crate::boot_error::BootError;
use crate::errno::Errno;
use crate::handler::Core;

/// Operations of a subsystem: `struct liveupdate_subsystem_ops`. All are optional.
///
/// `data` is the subsystem's own word: prepare and freeze may change it, it is handed over.
pub trait Subsystem<M> {
    /// Name, unique; a property of the handover.
    fn name(&self) -> &str;

    /// Whether its module is being removed: then it cannot be registered.
    fn is_module_going(&self) -> bool {
        false
    }

    /// Gets ready while the machine works.
    ///
    /// # Errors
    /// There is no update. Subsystems before it are canceled, not this one.
    fn prepare(&mut self, kho: &mut Kho<M>, data: &mut u64) -> Result<(), Errno> {
        let _ = (kho, data);
        Ok(())
    }

    /// Does the rest on the way to the next kernel.
    ///
    /// # Errors
    /// There is no jump. Subsystems before it are canceled, neither this one nor those behind it.
    fn freeze(&mut self, kho: &mut Kho<M>, data: &mut u64) -> Result<(), Errno> {
        let _ = (kho, data);
        Ok(())
    }

    /// Takes prepare and freeze back.
    fn cancel(&mut self, kho: &mut Kho<M>, data: u64) {
        let _ = (kho, data);
    }

    /// Takes over in the next kernel, when it is registered there.
    fn boot(&mut self, kho: &mut Kho<M>, data: u64) {
        let _ = (kho, data);
    }

    /// Lets go of what was handed over.
    fn finish(&mut self, kho: &mut Kho<M>, data: u64) {
        let _ = (kho, data);
    }
}

/// A registered subsystem. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubsystemId(u64);

enum Kind<M> {
    Sessions,
    Other(Box<dyn Subsystem<M>>),
}

struct Member<M> {
    id: SubsystemId,
    kind: Kind<M>,
    data: u64,
}

impl<M> Member<M> {
    fn name(&self) -> &str {
        match &self.kind {
            Kind::Sessions => SESSIONS,
            Kind::Other(subsystem) => subsystem.name(),
        }
    }
}

/// Members of an update in the order they were registered.
pub(super) struct Members<M> {
    members: Vec<Member<M>>,
    last: u64,
}

impl<M: KhoMem> Members<M> {
    pub(super) fn new() -> Self {
        let sessions = Member {
            id: SubsystemId(0),
            kind: Kind::Sessions,
            data: 0,
        };
        Self {
            members: Vec::from([sessions]),
            last: 0,
        }
    }

    /// Names and words, as the FDT has them.
    pub(super) fn words(&self) -> Vec<(&str, u64)> {
        self.members
            .iter()
            .map(|member| (member.name(), member.data))
            .collect()
    }

    pub(super) fn name(&self, id: SubsystemId) -> Option<&str> {
        let member = self.members.iter().find(|member| member.id == id);
        member.map(Member::name)
    }

    pub(super) fn register(
        &mut self,
        subsystem: Box<dyn Subsystem<M>>,
    ) -> Result<SubsystemId, Errno> {
        let name = subsystem.name();
        if self.members.iter().any(|member| member.name() == name) {
            return Err(Errno::EEXIST);
        }
        if subsystem.is_module_going() {
            return Err(Errno::EAGAIN);
        }
        self.last = self.last.saturating_add(1);
        let id = SubsystemId(self.last);
        let kind = Kind::Other(subsystem);
        self.members.push(Member { id, kind, data: 0 });
        Ok(id)
    }

    pub(super) fn unregister(&mut self, id: SubsystemId) -> Result<(), Errno> {
        // Sessions never leave.
        let found = self.members.iter().position(|member| member.id == id);
        let at = found
            .filter(|_| id != SubsystemId(0))
            .ok_or(Errno::ENOENT)?;
        self.members.remove(at);
        Ok(())
    }

    /// Tells a subsystem that was just registered what was handed over for it.
    pub(super) fn boot(&mut self, kho: &mut Kho<M>, id: SubsystemId, data: u64) {
        let member = self.members.iter_mut().find(|member| member.id == id);
        if let Some(Member {
            kind: Kind::Other(subsystem),
            ..
        }) = member
        {
            subsystem.boot(kho, data);
        }
    }

    /// `luo_do_subsystems_prepare_calls()`.
    pub(super) fn prepare<F: Clone>(
        &mut self,
        core: &mut Core<M, F>,
        sessions: &mut Sessions<F>,
    ) -> Result<(), Errno> {
        for index in 0..self.members.len() {
            let Some(Member { kind, data, .. }) = self.members.get_mut(index) else {
                continue;
            };
            let prepared = match kind {
                Kind::Sessions => sessions.prepare(core).map(|word| *data = word),
                Kind::Other(subsystem) => subsystem.prepare(&mut core.kho, data),
            };
            if let Err(errno) = prepared {
                self.cancel_first(core, sessions, index);
                return Err(errno);
            }
        }
        Ok(())
    }

    /// `luo_do_subsystems_freeze_calls()`.
    pub(super) fn freeze<F: Clone>(
        &mut self,
        core: &mut Core<M, F>,
        sessions: &mut Sessions<F>,
    ) -> Result<(), Errno> {
        for index in 0..self.members.len() {
            let Some(Member { kind, data, .. }) = self.members.get_mut(index) else {
                continue;
            };
            let frozen = match kind {
                Kind::Sessions => sessions.freeze(core),
                Kind::Other(subsystem) => subsystem.freeze(&mut core.kho, data),
            };
            if let Err(errno) = frozen {
                self.cancel_first(core, sessions, index);
                return Err(errno);
            }
        }
        Ok(())
    }

    /// `luo_do_subsystems_cancel_calls()`.
    pub(super) fn cancel<F: Clone>(&mut self, core: &mut Core<M, F>, sessions: &mut Sessions<F>) {
        self.cancel_first(core, sessions, self.members.len());
    }

    /// The first `count`, the first one first.
    fn cancel_first<F: Clone>(
        &mut self,
        core: &mut Core<M, F>,
        sessions: &mut Sessions<F>,
        count: usize,
    ) {
        for Member { kind, data, .. } in self.members.iter_mut().take(count) {
            let word = core::mem::take(data);
            match kind {
                Kind::Sessions => sessions.cancel(core),
                Kind::Other(subsystem) => subsystem.cancel(&mut core.kho, word),
            }
        }
    }

    /// `luo_do_subsystems_finish_calls()`. A subsystem for which nothing was handed over is a panic
    /// of the kernel, before any is finished.
    pub(super) fn finish<F: Clone>(
        &mut self,
        core: &mut Core<M, F>,
        sessions: &mut Sessions<F>,
        received: &[(String, u64)],
    ) -> Result<(), BootError> {
        for member in &mut self.members {
            let found = received.iter().find(|(name, _)| name == member.name());
            let missing = || BootError::Property {
                name: member.name().into(),
            };
            let (_, word) = found.ok_or_else(missing)?;
            member.data = *word;
        }
        for Member { kind, data, .. } in &mut self.members {
            let word = core::mem::take(data);
            match kind {
                Kind::Sessions => sessions.finish(core)?,
                Kind::Other(subsystem) => subsystem.finish(&mut core.kho, word),
            }
        }
        Ok(())
    }
}
