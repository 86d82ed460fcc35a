//! `ioctl()` on the device and on sessions, and who may use them.

use std::fs;
use std::os::fd::RawFd;

use liveupdate_uapi::{mainline as uapi, v4};
use luo::{Dialect, Errno, Target};
use notify_sys::{Notification, Task};

use super::Outcome;
use crate::caller::{self, TaskCaller};
use crate::generation::Generation;
use crate::inject::{CallName, Effect};
use crate::objects::Held;

/// `CAP_SYS_BOOT`, `include/uapi/linux/capability.h`.
const CAP_SYS_BOOT: u32 = 22;

/// Commands that something can be done to on purpose.
const MAINLINE: [(u32, CallName); 6] = [
    (uapi::IOCTL_CREATE_SESSION, CallName::CreateSession),
    (uapi::IOCTL_RETRIEVE_SESSION, CallName::RetrieveSession),
    (uapi::SESSION_PRESERVE_FD, CallName::PreserveFd),
    (uapi::SESSION_RETRIEVE_FD, CallName::RetrieveFd),
    (uapi::SESSION_FINISH, CallName::Finish),
    (uapi::SESSION_GET_NAME, CallName::GetName),
];

/// As above.
const V4: [(u32, CallName); 4] = [
    (v4::IOCTL_CREATE_SESSION, CallName::CreateSession),
    (v4::IOCTL_RETRIEVE_SESSION, CallName::RetrieveSession),
    (v4::SESSION_PRESERVE_FD, CallName::PreserveFd),
    (v4::SESSION_RESTORE_FD, CallName::RetrieveFd),
];

impl Generation<'_> {
    pub(super) fn ioctl(
        &mut self,
        call: &Notification,
        fd: RawFd,
        cmd: u32,
        arg: u64,
        stalled: Option<Effect>,
    ) -> Outcome {
        let target = match caller::held(&self.objects, call.task, fd) {
            Some(Held::Device) => Target::Device,
            Some(Held::Session(id)) => Target::Session(id),
            Some(Held::DevicePath) => return Outcome::Fail(Errno::EBADF),
            None => return Outcome::Continue,
        };
        let names = match self.kernel.dialect {
            Dialect::Mainline => &MAINLINE[..],
            Dialect::V4 => &V4,
        };
        let name = names.iter().find(|(known, _)| *known == cmd);
        if let Some(&(_, name)) = name
            && let Err(outcome) = self.interfere(name, stalled)
        {
            return outcome;
        }
        let mut caller = TaskCaller {
            call,
            listener: &self.listener,
            objects: &mut self.objects,
        };
        let answer = self.kernel.luo.ioctl(target, cmd, arg, &mut caller);
        self.check_panic();
        match answer {
            Ok(()) => Outcome::Value(0),
            Err(errno) => errno.into(),
        }
    }

    /// Whether a task may open the device: its mode is 0600, its owner root. Without privileges
    /// everything here is of one user, who is root on the emulated machine.
    pub(super) fn may_use_device(&self, task: Task) -> bool {
        if !self.is_host_root {
            return true;
        }
        // The file system's user is the last of four.
        status(task, "Uid:").is_none_or(|it| it.split_whitespace().nth(3) == Some("0"))
    }

    /// Whether a task may load an image and restart the machine: root with `CAP_SYS_BOOT`.
    pub(super) fn may_boot(&self, task: Task) -> bool {
        if !self.is_host_root {
            return true;
        }
        let has_capability = status(task, "CapEff:").is_none_or(|it| {
            u64::from_str_radix(it.trim(), 16).is_ok_and(|it| it >> CAP_SYS_BOOT & 1 == 1)
        });
        has_capability && self.may_use_device(task)
    }
}

/// A line of `/proc/TID/status`.
fn status(task: Task, name: &str) -> Option<String> {
    let path = format!("/proc/{}/status", task.tid().as_raw_nonzero());
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.to_owned())
}
