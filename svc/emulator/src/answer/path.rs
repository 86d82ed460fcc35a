//! `stat()`, `access()`, `readlink()` and their kin, and `uname()`.

use std::os::fd::RawFd;
use std::time::UNIX_EPOCH;

use luo::Errno;
use notify_sys::Notification;

use super::open::MAX_PATH;
use super::{EACCES, ENOTDIR, Outcome};
use crate::call::{At, EMPTY_PATH, NO_FOLLOW};
use crate::caller;
use crate::generation::Generation;
use crate::nodes::Node;
use crate::objects::Held;
use crate::stat::Attributes;
use crate::walk::{Found, LastLink, Place, Resolve};

/// Type bits of a character device and of a file.
const CHARACTER: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;
/// Miscellaneous devices, and the number that one has on the kernels we saw.
const DEVICE: (u32, u32) = (10, 258);

/// `X_OK`, `W_OK`, `R_OK`.
const EXECUTE: u32 = 1;
const READ_WRITE: u32 = 6;

/// `struct utsname`: six strings of this length.
const UTS_LEN: usize = 65;

impl Generation<'_> {
    pub(super) fn stat(&self, call: &Notification, at: At, flags: u32, answer: u64) -> Outcome {
        match self.attributes(call, at, flags) {
            Ok(attributes) => self.tell(call, answer, &attributes.stat()),
            Err(outcome) => outcome,
        }
    }

    pub(super) fn statx(&self, call: &Notification, at: At, flags: u32, answer: u64) -> Outcome {
        match self.attributes(call, at, flags) {
            Ok(attributes) => self.tell(call, answer, &attributes.statx()),
            Err(outcome) => outcome,
        }
    }

    pub(super) fn fstat(&self, call: &Notification, fd: RawFd, answer: u64) -> Outcome {
        match caller::held(&self.objects, call.task, fd) {
            Some(held) => self.tell(call, answer, &self.of_held(held).stat()),
            None => Outcome::Continue,
        }
    }

    pub(super) fn access(&self, call: &Notification, at: At, mode: u32, flags: u32) -> Outcome {
        let node = match self.found(call, at, flags) {
            (Found::Node(node), _) => node,
            (Found::Held(Held::Device | Held::DevicePath), LastLink::Follow) => Node::Device,
            (Found::NoFolder, _) => return Outcome::Fail(ENOTDIR),
            _ => return Outcome::Continue,
        };
        // Root may read and write everything; nobody executes what has no such permission.
        let is_root = self.may_use_device(call.task);
        let others = (node.mode() & 7) | !7;
        let is_allowed = mode & EXECUTE == 0 && (is_root || mode & READ_WRITE & !others == 0);
        if is_allowed {
            return Outcome::Value(0);
        }
        Outcome::Fail(EACCES)
    }

    /// There are none.
    pub(super) fn xattr(&self, call: &Notification, at: At, flags: u32) -> Outcome {
        match self.found(call, at, flags) {
            (Found::Node(_), _) => Outcome::Fail(Errno::EOPNOTSUPP),
            _ => Outcome::Continue,
        }
    }

    pub(super) fn read_link(&self, call: &Notification, at: At, answer: u64, size: u64) -> Outcome {
        let Ok(Some(path)) = call.task.read_c_string(at.path, MAX_PATH) else {
            return Outcome::Continue;
        };
        let held = match self
            .place(call, at, &path, LastLink::Itself)
            .resolve(&self.objects)
        {
            Found::Node(_) => return Outcome::Fail(Errno::EINVAL),
            Found::NoFolder => return Outcome::Fail(ENOTDIR),
            Found::Other => return Outcome::Continue,
            Found::Held(held) => held,
        };
        let mut text = self.link_text(held);
        text.truncate(usize::try_from(size.min(4096)).unwrap_or(0));
        if text.is_empty() || i32::try_from(size).is_err() {
            return Outcome::Fail(Errno::EINVAL);
        }
        match self.tell(call, answer, &text) {
            Outcome::Value(_) => Outcome::Value(i64::try_from(text.len()).unwrap_or(0)),
            fault => fault,
        }
    }

    pub(super) fn uname(&self, call: &Notification, answer: u64) -> Outcome {
        let host = rustix::system::uname();
        if host.release().to_bytes() == self.kernel.release.as_bytes() {
            return Outcome::Continue;
        }
        let strings = [
            host.sysname().to_bytes(),
            host.nodename().to_bytes(),
            self.kernel.release.as_bytes(),
            host.version().to_bytes(),
            host.machine().to_bytes(),
            host.domainname().to_bytes(),
        ];
        let mut name = Vec::new();
        for (index, string) in strings.into_iter().enumerate() {
            name.extend(string.iter().take(UTS_LEN - 1));
            name.resize((index + 1) * UTS_LEN, 0);
        }
        self.tell(call, answer, &name)
    }

    /// What `/proc/PID/fd/N` leads to, as Linux shows it.
    fn link_text(&self, held: Held) -> Vec<u8> {
        let Held::Session(id) = held else {
            return b"/dev/liveupdate".to_vec();
        };
        let mut text = b"anon_inode:[luo_session] ".to_vec();
        let sessions = self.kernel.luo.sessions();
        if let Some(session) = sessions.iter().find(|it| it.id == id) {
            text.extend_from_slice(&session.name);
        }
        text
    }

    fn attributes(&self, call: &Notification, at: At, flags: u32) -> Result<Attributes, Outcome> {
        match self.found(call, at, flags) {
            (Found::Node(node), _) => Ok(self.of_node(node)),
            // A link of procfs is a link.
            (Found::Held(held), LastLink::Follow) => Ok(self.of_held(held)),
            (Found::NoFolder, _) => Err(Outcome::Fail(ENOTDIR)),
            _ => Err(Outcome::Continue),
        }
    }

    fn found(&self, call: &Notification, at: At, flags: u32) -> (Found, LastLink) {
        let last_link = if flags & NO_FOLLOW == 0 {
            LastLink::Follow
        } else {
            LastLink::Itself
        };
        let is_empty_allowed = flags & EMPTY_PATH != 0;
        let path = match at.path {
            // Since v6.11 no path is an empty one.
            0 if is_empty_allowed => Vec::new(),
            addr => match call.task.read_c_string(addr, MAX_PATH) {
                Ok(Some(path)) => path,
                _ => return (Found::Other, last_link),
            },
        };
        if path.is_empty() {
            let held = is_empty_allowed.then(|| caller::held(&self.objects, call.task, at.dir));
            let found = held.flatten().map_or(Found::Other, Found::Held);
            return (found, LastLink::Follow);
        }
        let place = self.place(call, at, &path, last_link);
        (place.resolve(&self.objects), last_link)
    }

    #[expect(clippy::unused_self, reason = "reads as a question to the machine")]
    fn place<'p>(
        &self,
        call: &Notification,
        at: At,
        path: &'p [u8],
        last_link: LastLink,
    ) -> Place<'p> {
        Place {
            task: call.task,
            dir: at.dir,
            path,
            last_link,
            resolve: Resolve::empty(),
        }
    }

    fn of_held(&self, held: Held) -> Attributes {
        match held {
            Held::Device | Held::DevicePath => self.of_node(Node::Device),
            // An anonymous inode has no type.
            Held::Session(_) => Attributes {
                mode: 0o600,
                inode: 1,
                time: self.boot_time(),
                ..Attributes::default()
            },
        }
    }

    fn of_node(&self, node: Node) -> Attributes {
        let mut attributes = Attributes {
            dev: rustix::fs::stat("/dev").map_or(0, |it| it.st_dev),
            inode: 1,
            mode: node.mode() | REGULAR,
            time: self.boot_time(),
            ..Attributes::default()
        };
        if node == Node::Device {
            attributes.mode = node.mode() | CHARACTER;
            (attributes.major, attributes.minor) = DEVICE;
        }
        attributes
    }

    fn boot_time(&self) -> i64 {
        let since = self.booted.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(0)
    }
}
