//! Commands of the v4 series on the device and on sessions: what is checked in which order
//! (`luo_ioctl.c`, patch 12; `luo_session.c`, patch 14).

use core::mem::offset_of;

use kho::KhoMem;
use liveupdate_uapi::v4 as uapi;
use liveupdate_uapi::v4::{LiveupdateEvent, LiveupdateState};

use super::layout::NAME_LENGTH;
use super::sessions::Session;
use super::{V4, with_open_handover};
use crate::SessionId;
use crate::args::Call;
use crate::caller::{Caller, Object};
use crate::engine::Target;
use crate::errno::Errno;
use crate::handler::Core;
use crate::name::Name;

const SESSION_BASE: u8 = 0x40;
const DEVICE_COMMANDS: [u32; 4] = [
    uapi::IOCTL_GET_STATE,
    uapi::IOCTL_SET_EVENT,
    uapi::IOCTL_CREATE_SESSION,
    uapi::IOCTL_RETRIEVE_SESSION,
];
const SESSION_COMMANDS: [u32; 5] = [
    uapi::SESSION_PRESERVE_FD,
    uapi::SESSION_UNPRESERVE_FD,
    uapi::SESSION_RESTORE_FD,
    uapi::SESSION_GET_STATE,
    uapi::SESSION_SET_EVENT,
];

impl<M: KhoMem, F: Clone> V4<M, F> {
    pub(crate) fn ioctl<C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        target: Target,
        cmd: u32,
        arg: u64,
        caller: &mut C,
    ) -> Result<(), Errno> {
        self.ensure_alive()?;
        match target {
            Target::Device => {
                let call = Call::begin(caller, &DEVICE_COMMANDS, 0, cmd, arg)?;
                self.device_command(core, cmd, call)
            }
            Target::Session(id) => {
                let call = Call::begin(caller, &SESSION_COMMANDS, SESSION_BASE, cmd, arg)?;
                self.session_command(core, id, cmd, call)
            }
        }
    }

    fn device_command<C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        cmd: u32,
        mut call: Call<'_, C>,
    ) -> Result<(), Errno> {
        match cmd {
            uapi::IOCTL_GET_STATE => {
                let mut args: uapi::GetState = call.args()?;
                args.state = self.state;
                call.respond(&args)
            }
            uapi::IOCTL_SET_EVENT => {
                let args: uapi::SetEvent = call.args()?;
                match args.event {
                    LiveupdateEvent::PREPARE => self.prepare(core),
                    LiveupdateEvent::FINISH => self.finish(core),
                    LiveupdateEvent::CANCEL => self.cancel(core),
                    _ => Err(Errno::EOPNOTSUPP),
                }
            }
            uapi::IOCTL_CREATE_SESSION => self.create_session(core, call),
            _ => self.retrieve_session(core, call),
        }
    }

    fn create_session<C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        mut call: Call<'_, C>,
    ) -> Result<(), Errno> {
        let args: uapi::CreateSession = call.args()?;
        call.caller.reserve_fd()?;
        self.ensure_open_for_members().or(Err(Errno::EAGAIN))?;
        self.import(core)?;
        let name = Name::copy(&args.name, NAME_LENGTH);
        let id = self.sessions.create(core.new_session(), name)?;
        let fd_offset = offset_of!(uapi::CreateSession, fd);
        let installed = call.install(Object::Session(id), args, fd_offset);
        installed.inspect_err(|_| self.sessions.release(core, id))
    }

    fn retrieve_session<C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        mut call: Call<'_, C>,
    ) -> Result<(), Errno> {
        let args: uapi::RetrieveSession = call.args()?;
        call.caller.reserve_fd()?;
        if self.state != LiveupdateState::UPDATED {
            return Err(Errno::EAGAIN);
        }
        self.import(core)?;
        let name = Name::query(&args.name).ok_or(Errno::ENOENT)?;
        let id = self.sessions.retrieve(&name)?;
        let fd_offset = offset_of!(uapi::RetrieveSession, fd);
        let installed = call.install(Object::Session(id), args, fd_offset);
        installed.inspect_err(|_| {
            if core.defects.fault_destroys_session {
                self.sessions.release(core, id);
            } else {
                self.sessions.unretrieve(id);
            }
        })
    }

    fn session_command<C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        id: SessionId,
        cmd: u32,
        mut call: Call<'_, C>,
    ) -> Result<(), Errno> {
        let machine_is_open = self.ensure_open_for_members();
        let is_updated = self.state == LiveupdateState::UPDATED;
        let session = self.sessions.get_mut(id).ok_or(Errno::EBADF)?;
        let may_change = machine_is_open.and(match session.state {
            LiveupdateState::NORMAL => Ok(()),
            _ => Err(Errno::EBUSY),
        });
        match cmd {
            uapi::SESSION_PRESERVE_FD => {
                let args: uapi::PreserveFd = call.args()?;
                may_change?;
                session
                    .files
                    .preserve(core, call.caller, args.token, args.fd)?;
                call.respond(&args)
            }
            uapi::SESSION_UNPRESERVE_FD => {
                let args: uapi::UnpreserveFd = call.args()?;
                if args.reserved != 0 {
                    return Err(Errno::EOPNOTSUPP);
                }
                may_change?;
                session.files.unpreserve(args.token)?;
                call.respond(&args)
            }
            uapi::SESSION_RESTORE_FD => {
                let args = call.args()?;
                // The state of the machine comes before the descriptor, that of the session after.
                if !is_updated {
                    return Err(Errno::EBUSY);
                }
                call.caller.reserve_fd()?;
                restore_fd(core, session, call, args)
            }
            uapi::SESSION_GET_STATE => {
                let mut args: uapi::SessionGetState = call.args()?;
                if args.reserved != [0; 3] {
                    return Err(Errno::EOPNOTSUPP);
                }
                args.state = session.state;
                call.respond(&args)
            }
            _ => {
                let args: uapi::SessionSetEvent = call.args()?;
                set_event(core, session, args.event)
            }
        }
    }
}

fn restore_fd<M: KhoMem, C: Caller>(
    core: &mut Core<M, C::File>,
    session: &mut Session<C::File>,
    mut call: Call<'_, C>,
    args: uapi::RestoreFd,
) -> Result<(), Errno> {
    if session.state != LiveupdateState::UPDATED {
        return Err(Errno::EBUSY);
    }
    let file = session.files.restore(core, args.token)?;
    let fd_offset = offset_of!(uapi::RestoreFd, fd);
    call.install(Object::File(file), args, fd_offset)
}

/// Nothing is answered but the outcome.
fn set_event<M: KhoMem, F: Clone>(
    core: &mut Core<M, F>,
    session: &mut Session<F>,
    event: LiveupdateEvent,
) -> Result<(), Errno> {
    match event {
        LiveupdateEvent::PREPARE => session.prepare(core),
        LiveupdateEvent::FREEZE => with_open_handover(core, |core| session.freeze(core)),
        LiveupdateEvent::FINISH => {
            session.finish(core);
            Ok(())
        }
        LiveupdateEvent::CANCEL => {
            with_open_handover(core, |core| session.cancel(core));
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}
