//! The mainline dialect: `/dev/liveupdate` of Linux 7.2 and 7.3, layout `luo-v5`.

mod files;
mod sessions;

use alloc::string::String;
use core::mem::offset_of;

use kho::{KhoError, KhoMem, PhysAddr, SubtreeError};
use kho_abi::luo::{COMPATIBLE, COMPATIBLE_LENGTH, ENTRY_NAME, LuoSer};
use liveupdate_uapi::mainline as uapi;

use crate::SessionId;
use crate::args::Call;
use crate::boot_error::BootError;
use crate::caller::{Caller, Object};
use crate::engine::{SessionInfo, Target};
use crate::errno::Errno;
use crate::flb::{padded, unpadded};
use crate::handler::Core;
use crate::name::Name;
use sessions::Sessions;

const DEVICE_COMMANDS: [u32; 2] = [uapi::IOCTL_CREATE_SESSION, uapi::IOCTL_RETRIEVE_SESSION];
const SESSION_COMMANDS: [u32; 4] = [
    uapi::SESSION_PRESERVE_FD,
    uapi::SESSION_RETRIEVE_FD,
    uapi::SESSION_FINISH,
    uapi::SESSION_GET_NAME,
];

/// Bytes of the subtree's blob.
const LUO_SER_BYTES: u64 = 32;
const _: () = assert!(size_of::<LuoSer>() == 32);

/// LUO of one boot.
pub(crate) struct Mainline<F> {
    sessions: Sessions<F>,
    update_number: u64,
    /// The jump is on its way: `luo_session_serialize()` keeps its lock for good.
    is_leaving: bool,
}

impl<F: Clone> Mainline<F> {
    /// `luo_early_startup()`, then `luo_state_setup()`.
    pub(crate) fn boot<M: KhoMem>(core: &mut Core<M, F>) -> Result<Self, BootError> {
        let incoming = receive(core)?;
        let update_number = incoming.map_or(0, |ser| ser.liveupdate_num);
        let luo_ser = core.kho.alloc_preserve(LUO_SER_BYTES)?;
        let received = incoming.map(|ser| PhysAddr(ser.sessions_pa));
        let sessions = Sessions::new(core, luo_ser, received).map_err(BootError::Sessions)?;
        if let Some(ser) = incoming {
            let page = PhysAddr(ser.flbs_pa);
            core.flbs
                .setup_incoming(&mut core.kho, page, core.defects)?;
        }
        let flbs = core.flbs.setup_outgoing(&mut core.kho)?;
        let ser = LuoSer {
            compatible: padded::<COMPATIBLE_LENGTH>(COMPATIBLE),
            liveupdate_num: update_number.wrapping_add(1),
            sessions_pa: 0,
            flbs_pa: flbs.0,
        };
        core.kho
            .memory_mut()
            .write_value(luo_ser, &ser)
            .map_err(KhoError::from)?;
        core.kho.add_subtree(ENTRY_NAME, luo_ser, LUO_SER_BYTES)?;
        Ok(Self {
            sessions,
            update_number,
            is_leaving: false,
        })
    }

    pub(crate) fn update_number(&self) -> u64 {
        self.update_number
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionInfo> {
        self.sessions
            .all()
            .map(|(id, session, is_incoming)| SessionInfo {
                id,
                name: session.name.to_bytes(),
                is_incoming,
                tokens: session.files.tokens().collect(),
            })
    }

    /// What the first open of the device does.
    pub(crate) fn import<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        self.sessions.import(core)
    }

    /// `liveupdate_reboot()`.
    pub(crate) fn reboot<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        self.ensure_staying()?;
        self.sessions.serialize(core)?;
        self.is_leaving = true;
        Ok(core.flbs.serialize(&mut core.kho)?)
    }

    pub(crate) fn release<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        id: SessionId,
    ) -> Result<(), Errno> {
        self.ensure_staying()?;
        self.sessions.release(core, id)
    }

    fn ensure_staying(&self) -> Result<(), Errno> {
        if self.is_leaving {
            Err(Errno::ERESTARTSYS)
        } else {
            Ok(())
        }
    }

    pub(crate) fn ioctl<M: KhoMem, C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        target: Target,
        cmd: u32,
        arg: u64,
        caller: &mut C,
    ) -> Result<(), Errno> {
        match target {
            Target::Device => {
                let call = Call::begin(caller, &DEVICE_COMMANDS, uapi::CMD_BASE, cmd, arg)?;
                self.device_command(core, cmd, call)
            }
            Target::Session(id) => {
                let base = uapi::CMD_SESSION_BASE;
                let call = Call::begin(caller, &SESSION_COMMANDS, base, cmd, arg)?;
                self.session_command(core, id, cmd, call)
            }
        }
    }

    fn device_command<M: KhoMem, C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        cmd: u32,
        mut call: Call<'_, C>,
    ) -> Result<(), Errno> {
        if cmd == uapi::IOCTL_CREATE_SESSION {
            let args: uapi::CreateSession = call.args()?;
            call.caller.reserve_fd()?;
            // The name is looked at before the lock that a jump keeps.
            if Name::query(&args.name).is_none_or(|name| name.is_empty()) {
                return Err(Errno::EINVAL);
            }
            self.ensure_staying()?;
            let id = self.sessions.create(core, &args.name)?;
            let fd_offset = offset_of!(uapi::CreateSession, fd);
            let installed = call.install(Object::Session(id), args, fd_offset);
            return installed.inspect_err(|_| self.drop_session(core, id));
        }
        let args: uapi::RetrieveSession = call.args()?;
        call.caller.reserve_fd()?;
        self.ensure_staying()?;
        let id = self.sessions.retrieve(&args.name)?;
        let fd_offset = offset_of!(uapi::RetrieveSession, fd);
        let installed = call.install(Object::Session(id), args, fd_offset);
        installed.inspect_err(|_| {
            if core.defects.fault_destroys_session {
                self.drop_session(core, id);
            } else {
                self.sessions.unretrieve(id);
            }
        })
    }

    /// The kernel's last reference goes.
    fn drop_session<M: KhoMem>(&mut self, core: &mut Core<M, F>, id: SessionId) {
        // As with `close()`, nobody hears of a file that cannot be finished.
        self.sessions.release(core, id).ok();
    }

    fn session_command<M: KhoMem, C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        id: SessionId,
        cmd: u32,
        mut call: Call<'_, C>,
    ) -> Result<(), Errno> {
        let is_leaving = self.is_leaving;
        let session = self.sessions.get_mut(id).ok_or(Errno::EBADF)?;
        let wants_incoming = match cmd {
            uapi::SESSION_PRESERVE_FD => Some(false),
            uapi::SESSION_RETRIEVE_FD | uapi::SESSION_FINISH => Some(true),
            _ => None,
        };
        if wants_incoming.is_some_and(|wanted| wanted != session.retrieved) {
            return Err(Errno::EINVAL);
        }
        let staying = if is_leaving {
            Err(Errno::ERESTARTSYS)
        } else {
            Ok(())
        };
        match cmd {
            uapi::SESSION_PRESERVE_FD => {
                let args: uapi::PreserveFd = call.args()?;
                staying?;
                session
                    .files
                    .preserve(core, call.caller, args.token, args.fd)?;
                // A fault is told and changes nothing: the file is preserved.
                call.respond(&args)
            }
            uapi::SESSION_RETRIEVE_FD => {
                let args: uapi::RetrieveFd = call.args()?;
                staying?;
                call.caller.reserve_fd()?;
                let file = session.files.retrieve(core, args.token)?;
                call.install(Object::File(file), args, offset_of!(uapi::RetrieveFd, fd))
            }
            uapi::SESSION_FINISH => {
                let args: uapi::Finish = call.args()?;
                staying?;
                if args.reserved != 0 {
                    return Err(Errno::EINVAL);
                }
                session.files.finish(core)?;
                call.respond(&args)
            }
            _ => {
                let mut args: uapi::GetName = call.args()?;
                staying?;
                if args.reserved != 0 {
                    return Err(Errno::EINVAL);
                }
                args.name = *session.name.as_array();
                call.respond(&args)
            }
        }
    }
}

/// What the kernel before handed over, if it did.
fn receive<M: KhoMem, F: Clone>(core: &mut Core<M, F>) -> Result<Option<LuoSer>, BootError> {
    let (addr, size_bytes) = match core.kho.retrieve_subtree(ENTRY_NAME) {
        Ok(found) => found,
        Err(KhoError::Subtree(SubtreeError::Missing { .. })) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if size_bytes < LUO_SER_BYTES {
        return Err(BootError::Short {
            found_bytes: size_bytes,
            wanted_bytes: LUO_SER_BYTES,
        });
    }
    let ser: LuoSer = core.kho.memory().read_value(addr).map_err(KhoError::from)?;
    if unpadded(&ser.compatible) != COMPATIBLE.as_bytes() {
        return Err(BootError::Incompatible {
            found: String::from_utf8_lossy(unpadded(&ser.compatible)).into(),
            supported: COMPATIBLE,
        });
    }
    // A blob that nobody preserved is a warning in the kernel.
    core.kho.restore_free(addr).ok();
    Ok(Some(ser))
}
