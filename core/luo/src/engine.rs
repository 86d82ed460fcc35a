//! The engine: LUO of one boot, from what was received to the jump.

use alloc::boxed::Box;
use alloc::vec::Vec;

use kho::{Kho, KhoMem};
use liveupdate_uapi::v4::LiveupdateState;

use crate::boot_error::BootError;
use crate::caller::{Caller, SessionId};
use crate::defects::Defects;
use crate::errno::Errno;
use crate::flb::{Flb, FlbId};
use crate::handler::{Context, Core, FileHandler, HandlerId};
use crate::mainline::Mainline;
use crate::v4::{Subsystem, SubsystemId, V4};

/// Which LUO this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Linux 7.2 and 7.3.
    #[default]
    Mainline,
    /// The v4 patch series of September 2025: machine-wide states, subsystems. Its KHO is one that
    /// is finalized ([`kho::Lifecycle::Finalize`]). It knows no FLBs: those that are linked to
    /// handlers are not called.
    V4,
}

/// How the engine behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Commands, states and layout.
    pub dialect: Dialect,
    /// Defects to reproduce.
    pub defects: Defects,
}

/// What a command is for: the caller knows which object the descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/dev/liveupdate`.
    Device,
    /// A session.
    Session(SessionId),
}

/// A session, for logs and for those who look from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// Its name; bytes, not necessarily text.
    pub name: Vec<u8>,
    /// Whether the kernel before handed it over.
    pub is_incoming: bool,
    /// Tokens of its files, in the order of the handover.
    pub tokens: Vec<u64>,
}

enum Machine<M, F> {
    Mainline(Mainline<F>),
    V4(V4<M, F>),
}

/// LUO of one boot.
///
/// `M` is the machine's memory, `F` an open file of the world around it.
pub struct Luo<M, F> {
    core: Core<M, F>,
    machine: Machine<M, F>,
    is_open: bool,
}

impl<M: KhoMem, F: Clone> Luo<M, F> {
    /// Starts LUO on what `kho` received.
    ///
    /// # Errors
    /// [`BootError`]: Linux panics, or has no device when there is no memory.
    pub fn boot(kho: Kho<M>, config: Config) -> Result<Self, BootError> {
        let mut core = Core::new(kho, config.defects);
        let machine = match config.dialect {
            Dialect::Mainline => Machine::Mainline(Mainline::boot(&mut core)?),
            Dialect::V4 => Machine::V4(V4::boot(&mut core)?),
        };
        Ok(Self {
            core,
            machine,
            is_open: false,
        })
    }

    /// Registers a file handler: `liveupdate_register_file_handler()`. Those that are there when
    /// the device is opened first can retrieve what was handed over.
    ///
    /// # Errors
    /// [`Errno::EEXIST`]: one of that name is there. [`Errno::EBUSY`] (v4) in the states
    /// `PREPARED` and `FROZEN`.
    pub fn register_file_handler(
        &mut self,
        handler: Box<dyn FileHandler<M, F>>,
    ) -> Result<HandlerId, Errno> {
        if let Machine::V4(v4) = &self.machine {
            v4.ensure_open_for_members()?;
        }
        self.core.register(handler)
    }

    /// Takes an FLB in; it does nothing until it is linked to a handler.
    pub fn add_flb(&mut self, flb: Box<dyn Flb<M>>) -> FlbId {
        self.core.flbs.add(flb)
    }

    /// Links an FLB to a handler: `liveupdate_register_flb()`.
    ///
    /// # Errors
    /// [`Errno::EEXIST`] when it is linked to this handler, or another FLB has its name;
    /// [`Errno::ENOSPC`] when there are as many as fit in one page.
    pub fn register_flb(&mut self, handler: HandlerId, flb: FlbId) -> Result<(), Errno> {
        self.core.link_flb(handler, flb)
    }

    /// What handlers work with, for other parts of an emulated kernel.
    pub fn context(&mut self) -> Context<'_, M> {
        Context {
            kho: &mut self.core.kho,
            flbs: &mut self.core.flbs,
            defects: self.core.defects,
        }
    }

    /// Registers a subsystem: `liveupdate_register_subsystem()` (v4).
    ///
    /// # Errors
    /// [`Errno::EOPNOTSUPP`] in the mainline dialect; [`Errno::EBUSY`] in the states `PREPARED`
    /// and `FROZEN`; [`Errno::EEXIST`]; [`Errno::EAGAIN`] when its module is going.
    pub fn register_subsystem(
        &mut self,
        subsystem: Box<dyn Subsystem<M>>,
    ) -> Result<SubsystemId, Errno> {
        match &mut self.machine {
            Machine::Mainline(_) => Err(Errno::EOPNOTSUPP),
            Machine::V4(v4) => v4.register(&mut self.core, subsystem),
        }
    }

    /// Takes a subsystem out: `liveupdate_unregister_subsystem()` (v4).
    ///
    /// # Errors
    /// [`Errno::EOPNOTSUPP`] in the mainline dialect; [`Errno::EBUSY`] in the states `PREPARED`
    /// and `FROZEN`; [`Errno::ENOENT`].
    pub fn unregister_subsystem(&mut self, id: SubsystemId) -> Result<(), Errno> {
        match &mut self.machine {
            Machine::Mainline(_) => Err(Errno::EOPNOTSUPP),
            Machine::V4(v4) => v4.unregister(id),
        }
    }

    /// What a subsystem handed over: `liveupdate_get_subsystem_data()` (v4).
    ///
    /// # Errors
    /// [`Errno::EOPNOTSUPP`] in the mainline dialect; [`Errno::ENOENT`] in other states than
    /// `UPDATED`, and when nothing was handed over under its name.
    pub fn subsystem_data(&self, id: SubsystemId) -> Result<u64, Errno> {
        match &self.machine {
            Machine::Mainline(_) => Err(Errno::EOPNOTSUPP),
            Machine::V4(v4) => v4.subsystem_data(id),
        }
    }

    /// Opens the device. Released by [`Luo::release_device`] when the last descriptor of this open
    /// file is closed.
    ///
    /// # Errors
    /// [`Errno::EBUSY`]: it is open. [`Errno::EIO`]: the sessions that were received cannot be
    /// imported, now or at the first open.
    pub fn open(&mut self) -> Result<(), Errno> {
        if self.is_open {
            return Err(Errno::EBUSY);
        }
        if let Machine::Mainline(mainline) = &mut self.machine {
            // The kernel tells EIO whatever it was.
            mainline.import(&mut self.core).or(Err(Errno::EIO))?;
        }
        self.is_open = true;
        Ok(())
    }

    /// The last descriptor of the device is closed.
    pub fn release_device(&mut self) {
        self.is_open = false;
    }

    /// The last descriptor of a session is closed. An outgoing one is given up, an incoming one
    /// finished.
    ///
    /// # Errors
    /// What `close()` does not tell: [`Errno::EBUSY`] when a file of an incoming session cannot be
    /// finished; then the session stays, out of reach. [`Errno::ERESTARTSYS`].
    pub fn release_session(&mut self, id: SessionId) -> Result<(), Errno> {
        match &mut self.machine {
            Machine::Mainline(mainline) => mainline.release(&mut self.core, id),
            Machine::V4(v4) => v4.release(&mut self.core, id),
        }
    }

    /// Does a command, from the check of its number to the answer; 0 is its only value.
    ///
    /// # Errors
    /// What the kernel answers, and [`Errno::ERESTARTSYS`] when it does not.
    pub fn ioctl<C: Caller<File = F>>(
        &mut self,
        target: Target,
        cmd: u32,
        arg: u64,
        caller: &mut C,
    ) -> Result<(), Errno> {
        match &mut self.machine {
            Machine::Mainline(mainline) => mainline.ioctl(&mut self.core, target, cmd, arg, caller),
            Machine::V4(v4) => v4.ioctl(&mut self.core, target, cmd, arg, caller),
        }
    }

    /// Makes the handover complete: `liveupdate_reboot()`, called for `reboot(KEXEC)` when an image
    /// is loaded. After it the mainline dialect answers no call any more.
    ///
    /// # Errors
    /// What a handler or subsystem answered: there is no jump, and everything is preserved as
    /// before (mainline) or canceled (v4).
    pub fn reboot(&mut self) -> Result<(), Errno> {
        match &mut self.machine {
            Machine::Mainline(mainline) => mainline.reboot(&mut self.core),
            Machine::V4(v4) => v4.reboot(&mut self.core),
        }
    }

    /// All sessions, outgoing ones first, each in the order of their creation.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        match &self.machine {
            Machine::Mainline(mainline) => mainline.sessions().collect(),
            Machine::V4(v4) => v4.sessions().collect(),
        }
    }

    /// State of the machine (v4).
    pub fn state(&self) -> Option<LiveupdateState> {
        match &self.machine {
            Machine::Mainline(_) => None,
            Machine::V4(v4) => Some(v4.state()),
        }
    }

    /// Live updates since the cold boot (mainline; the v4 series does not count).
    pub fn update_number(&self) -> Option<u64> {
        match &self.machine {
            Machine::Mainline(mainline) => Some(mainline.update_number()),
            Machine::V4(_) => None,
        }
    }

    /// What made this kernel panic since it booted: damage it found only when it looked (v4).
    /// Every later call is [`Errno::ERESTARTSYS`].
    pub fn panic(&self) -> Option<&BootError> {
        match &self.machine {
            Machine::Mainline(_) => None,
            Machine::V4(v4) => v4.panic(),
        }
    }

    /// The handover.
    pub fn kho(&self) -> &Kho<M> {
        &self.core.kho
    }

    /// The handover, for other parts of an emulated kernel.
    pub fn kho_mut(&mut self) -> &mut Kho<M> {
        &mut self.core.kho
    }

    /// The handover, at the jump.
    pub fn into_kho(self) -> Kho<M> {
        self.core.kho
    }
}

impl<M, F> core::fmt::Debug for Luo<M, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Luo")
            .field("is_open", &self.is_open)
            .finish_non_exhaustive()
    }
}
