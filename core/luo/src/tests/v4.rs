//! The v4 series: states, subsystems, sessions with a state of their own.

mod sessions;
mod states;

use alloc::boxed::Box;

use liveupdate_uapi::v4 as uapi;
use liveupdate_uapi::v4::{LiveupdateEvent, LiveupdateState};

use super::machine::{Machine, name};
use super::recorder::RecorderSubsystem;
use super::world::File;
use crate::{Config, Dialect, Errno, Object, SubsystemId, Target};

const NORMAL: LiveupdateState = LiveupdateState::NORMAL;
const PREPARED: LiveupdateState = LiveupdateState::PREPARED;
const FROZEN: LiveupdateState = LiveupdateState::FROZEN;
const UPDATED: LiveupdateState = LiveupdateState::UPDATED;
const PREPARE: LiveupdateEvent = LiveupdateEvent::PREPARE;
const FREEZE: LiveupdateEvent = LiveupdateEvent::FREEZE;
const FINISH: LiveupdateEvent = LiveupdateEvent::FINISH;
const CANCEL: LiveupdateEvent = LiveupdateEvent::CANCEL;

/// A cold machine.
fn machine() -> Machine {
    Machine::cold(Config {
        dialect: Dialect::V4,
        ..Config::default()
    })
}

/// Registers the subsystems "a", "b" and "c".
fn register(machine: &mut Machine) -> [SubsystemId; 3] {
    ["a", "b", "c"].map(|name| {
        let subsystem = RecorderSubsystem::boxed(name, &machine.script);
        machine.luo.register_subsystem(subsystem).unwrap()
    })
}

/// A program of the series: its commands on the device and on sessions.
impl Machine {
    fn state(&mut self) -> LiveupdateState {
        let args = uapi::GetState {
            size: 8,
            state: LiveupdateState::UNDEFINED,
        };
        let answer = self.call(Target::Device, uapi::IOCTL_GET_STATE, args);
        answer.unwrap().state
    }

    fn event(&mut self, event: LiveupdateEvent) -> Result<(), Errno> {
        let args = uapi::SetEvent { size: 8, event };
        self.call(Target::Device, uapi::IOCTL_SET_EVENT, args)
            .map(|_| ())
    }

    fn create_v4(&mut self, text: &str) -> Result<i32, Errno> {
        let args = uapi::CreateSession {
            size: 64,
            fd: -1,
            name: *name(text).first_chunk().unwrap(),
        };
        let answer = self.call(Target::Device, uapi::IOCTL_CREATE_SESSION, args)?;
        Ok(answer.fd)
    }

    fn retrieve_v4(&mut self, text: &str) -> Result<i32, Errno> {
        let args = uapi::RetrieveSession {
            size: 72,
            fd: -1,
            name: name(text),
        };
        let answer = self.call(Target::Device, uapi::IOCTL_RETRIEVE_SESSION, args)?;
        Ok(answer.fd)
    }

    fn target(&self, session: i32) -> Target {
        Target::Session(self.session(session))
    }

    fn preserve_v4(&mut self, session: i32, token: u64, file: &File) -> Result<(), Errno> {
        let fd = self.process.give(Object::File(file.clone()));
        let preserved = self.preserve_fd_v4(session, token, fd);
        self.process.fds.remove(&fd);
        preserved
    }

    fn preserve_fd_v4(&mut self, session: i32, token: u64, fd: i32) -> Result<(), Errno> {
        let args = uapi::PreserveFd {
            size: 16,
            fd,
            token,
        };
        self.call(self.target(session), uapi::SESSION_PRESERVE_FD, args)
            .map(|_| ())
    }

    fn unpreserve_v4(&mut self, session: i32, token: u64, reserved: u32) -> Result<(), Errno> {
        let args = uapi::UnpreserveFd {
            size: 16,
            reserved,
            token,
        };
        self.call(self.target(session), uapi::SESSION_UNPRESERVE_FD, args)
            .map(|_| ())
    }

    fn restore_v4(&mut self, session: i32, token: u64) -> Result<File, Errno> {
        let args = uapi::RestoreFd {
            size: 16,
            fd: -1,
            token,
        };
        let answer = self.call(self.target(session), uapi::SESSION_RESTORE_FD, args)?;
        let file = self.process.file(answer.fd);
        self.process.fds.remove(&answer.fd);
        Ok(file)
    }

    fn session_state(&mut self, session: i32, reserved: [u8; 3]) -> Result<LiveupdateState, Errno> {
        let args = uapi::SessionGetState {
            size: 12,
            incoming: 1,
            reserved,
            state: LiveupdateState::UNDEFINED,
        };
        let answer = self.call(self.target(session), uapi::SESSION_GET_STATE, args)?;
        Ok(answer.state)
    }

    fn session_event(&mut self, session: i32, event: LiveupdateEvent) -> Result<(), Errno> {
        let args = uapi::SessionSetEvent { size: 8, event };
        self.call(self.target(session), uapi::SESSION_SET_EVENT, args)
            .map(|_| ())
    }
}

/// Programs that work in both dialects.
impl Machine {
    pub(super) fn create_in_dialect(&mut self, text: &str) -> i32 {
        match self.config.dialect {
            Dialect::Mainline => self.create(text).unwrap(),
            Dialect::V4 => self.create_v4(text).unwrap(),
        }
    }

    /// What a program does before it reboots.
    pub(super) fn prepare_in_dialect(&mut self) {
        if self.config.dialect == Dialect::V4 {
            self.event(PREPARE).ok();
        }
    }

    pub(super) fn retrieve_in_dialect(&mut self, text: &str) -> Result<i32, Errno> {
        match self.config.dialect {
            Dialect::Mainline => self.retrieve_session(text),
            Dialect::V4 => self.retrieve_v4(text),
        }
    }

    pub(super) fn retrieve_fd_in_dialect(&mut self, fd: i32, token: u64) -> Result<File, Errno> {
        match self.config.dialect {
            Dialect::Mainline => self.retrieve(fd, token),
            Dialect::V4 => self.restore_v4(fd, token),
        }
    }

    pub(super) fn finish_in_dialect(&mut self, fd: i32) -> Result<(), Errno> {
        match self.config.dialect {
            Dialect::Mainline => self.finish(fd),
            Dialect::V4 => self.session_event(fd, FINISH),
        }
    }

    /// What a program does when it has everything back.
    pub(super) fn end_update_in_dialect(&mut self) {
        if self.config.dialect == Dialect::V4 {
            self.event(FINISH).ok();
        }
    }
}

#[test]
fn subsystems_are_of_v4_only() {
    let mut machine = Machine::mainline();
    let subsystem = RecorderSubsystem::boxed("a", &machine.script);
    let answer = machine.luo.register_subsystem(subsystem);
    assert_eq!(answer, Err(Errno::EOPNOTSUPP));
    assert_eq!(machine.luo.state(), None);
}

#[test]
fn subsystems_come_and_go_between_updates_only_and_names_are_unique() {
    let mut machine = machine();
    let [a, ..] = register(&mut machine);
    let again = |machine: &mut Machine, name| {
        let subsystem: Box<_> = RecorderSubsystem::boxed(name, &machine.script);
        machine.luo.register_subsystem(subsystem)
    };
    for taken in ["a", "luo-session-v1"] {
        assert_eq!(again(&mut machine, taken), Err(Errno::EEXIST));
    }
    machine.script.fail("d going", Errno(1));
    assert_eq!(again(&mut machine, "d"), Err(Errno::EAGAIN));
    assert_eq!(machine.luo.unregister_subsystem(a), Ok(()));
    assert_eq!(machine.luo.unregister_subsystem(a), Err(Errno::ENOENT));
    let a = again(&mut machine, "a").unwrap();
    machine.event(PREPARE).unwrap();
    assert_eq!(again(&mut machine, "e"), Err(Errno::EBUSY));
    assert_eq!(machine.luo.unregister_subsystem(a), Err(Errno::EBUSY));
    assert_eq!(machine.luo.subsystem_data(a), Err(Errno::ENOENT));
    machine.event(CANCEL).unwrap();
    assert!(again(&mut machine, "e").is_ok());
}
