//! The system calls that are answered: their numbers, and what their arguments are.

use std::os::fd::RawFd;

use notify_sys::{ArgTest, Filter, Notification};
use rustix::io::Errno;

/// A call as far as its arguments are in registers. Addresses are the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `open()`, `openat()`, `creat()`.
    Open(At, u32),
    /// `openat2()`: address and size of the `struct open_how`.
    Open2(At, u64, u64),
    /// `stat()`, `lstat()`, `newfstatat()`: flags, address of the answer.
    Stat(At, u32, u64),
    /// `statx()`: flags, address of the answer.
    Statx(At, u32, u64),
    /// `fstat()`: descriptor, address of the answer.
    Fstat(RawFd, u64),
    /// `access()`, `faccessat()`, `faccessat2()`: mode, flags.
    Access(At, u32, u32),
    /// `readlink()`, `readlinkat()`: address and size of the answer.
    ReadLink(At, u64, u64),
    /// `getxattr()`, `lgetxattr()`, `listxattr()`, `llistxattr()`: flags.
    Xattr(At, u32),
    /// `ioctl()`: descriptor, command, argument.
    Ioctl(RawFd, u32, u64),
    /// `ftruncate()`: descriptor, size.
    Resize(RawFd, u64),
    /// `fallocate()`: descriptor.
    Allocate(RawFd),
    /// `fcntl(F_ADD_SEALS)`: descriptor, seals.
    AddSeals(RawFd, u32),
    /// `uname()`: address of the answer.
    Uname(u64),
    /// `kexec_file_load()`.
    KexecFileLoad(KexecFileLoad),
    /// `reboot()`: the two magic numbers and the command.
    Reboot(u32, u32, u32),
}

/// Where a path starts and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) dir: RawFd,
    pub(crate) path: u64,
}

/// Arguments of `kexec_file_load()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KexecFileLoad {
    pub(crate) kernel: RawFd,
    pub(crate) initrd: RawFd,
    pub(crate) cmdline_len: u64,
    pub(crate) cmdline: u64,
    pub(crate) flags: u64,
}

/// `AT_FDCWD`.
const CWD: RawFd = -100;
/// `F_ADD_SEALS`.
const ADD_SEALS: u32 = 1033;
/// `AT_SYMLINK_NOFOLLOW`.
pub(crate) const NO_FOLLOW: u32 = 0x100;
/// `AT_EMPTY_PATH`.
pub(crate) const EMPTY_PATH: u32 = 0x1000;
/// `O_CREAT | O_WRONLY | O_TRUNC`, what `creat()` stands for.
#[cfg(target_arch = "x86_64")]
const CREATE: u32 = 0o1101;

/// Commands of a terminal that programs try on every file: `TCGETS`, and since glibc 2.42 `TCGETS2`.
/// Device and session answer them each in its way.
const TCGETS: u32 = 0x5401;
const TCGETS2: u32 = 0x802c_542a;

/// Numbers as the filter has them.
const fn number(nr: libc::c_long) -> u32 {
    // Checked below, where it is a constant.
    assert!(nr >= 0 && nr <= 0xffff, "a system call has a small number");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "asserted above"
    )]
    {
        nr as u32
    }
}

macro_rules! numbers {
    ($($name:ident = $libc:ident;)*) => { $(const $name: u32 = number(libc::$libc);)* };
}

numbers! {
    OPENAT = SYS_openat;
    OPENAT2 = SYS_openat2;
    NEWFSTATAT = SYS_newfstatat;
    STATX = SYS_statx;
    FSTAT = SYS_fstat;
    FACCESSAT = SYS_faccessat;
    FACCESSAT2 = SYS_faccessat2;
    READLINKAT = SYS_readlinkat;
    GETXATTR = SYS_getxattr;
    LGETXATTR = SYS_lgetxattr;
    LISTXATTR = SYS_listxattr;
    LLISTXATTR = SYS_llistxattr;
    IOCTL = SYS_ioctl;
    FTRUNCATE = SYS_ftruncate;
    FALLOCATE = SYS_fallocate;
    FCNTL = SYS_fcntl;
    UNAME = SYS_uname;
    KEXEC_FILE_LOAD = SYS_kexec_file_load;
    KEXEC_LOAD = SYS_kexec_load;
    REBOOT = SYS_reboot;
}
#[cfg(target_arch = "x86_64")]
numbers! {
    OPEN = SYS_open;
    CREAT = SYS_creat;
    STAT = SYS_stat;
    LSTAT = SYS_lstat;
    ACCESS = SYS_access;
    READLINK = SYS_readlink;
}

/// Calls of which every one is looked at.
const ALWAYS: &[u32] = &[
    OPENAT,
    NEWFSTATAT,
    STATX,
    FSTAT,
    READLINKAT,
    FACCESSAT,
    FACCESSAT2,
    OPENAT2,
    GETXATTR,
    LGETXATTR,
    LISTXATTR,
    LLISTXATTR,
    FTRUNCATE,
    FALLOCATE,
    UNAME,
    KEXEC_FILE_LOAD,
    REBOOT,
    #[cfg(target_arch = "x86_64")]
    OPEN,
    #[cfg(target_arch = "x86_64")]
    CREAT,
    #[cfg(target_arch = "x86_64")]
    STAT,
    #[cfg(target_arch = "x86_64")]
    LSTAT,
    #[cfg(target_arch = "x86_64")]
    ACCESS,
    #[cfg(target_arch = "x86_64")]
    READLINK,
];

/// The filter of supervised programs.
pub(crate) fn filter() -> Filter {
    let second = |mask, value| ArgTest {
        index: 1,
        mask,
        value,
    };
    let mut filter = Filter::new()
        .notify_if(
            IOCTL,
            &[
                second(0xff00, 0xba00),
                second(u32::MAX, TCGETS),
                second(u32::MAX, TCGETS2),
            ],
        )
        .notify_if(FCNTL, &[second(u32::MAX, ADD_SEALS)])
        // It hands nothing over; a kernel may be built without it.
        .refuse(KEXEC_LOAD, Errno::NOSYS);
    for &nr in ALWAYS {
        filter = filter.notify(nr);
    }
    filter
}

/// The low half of a register: an `int` or `unsigned int`.
fn low(arg: u64) -> u32 {
    u32::try_from(arg & u64::from(u32::MAX)).unwrap_or(0)
}

fn fd(arg: u64) -> RawFd {
    low(arg).cast_signed()
}

impl Call {
    /// What a notification is about; `None` of a call that is none of ours.
    pub(crate) fn read(call: &Notification) -> Option<Self> {
        let [a, b, c, d, e, _] = call.args;
        let at = At {
            dir: fd(a),
            path: b,
        };
        #[cfg(target_arch = "x86_64")]
        if let Some(it) = Self::read_old(call.nr, [a, b, c]) {
            return Some(it);
        }
        Some(match call.nr {
            OPENAT => Self::Open(at, low(c)),
            OPENAT2 => Self::Open2(at, c, d),
            NEWFSTATAT => Self::Stat(at, low(d), c),
            STATX => Self::Statx(at, low(c), e),
            FSTAT => Self::Fstat(fd(a), b),
            FACCESSAT => Self::Access(at, low(c), 0),
            FACCESSAT2 => Self::Access(at, low(c), low(d)),
            READLINKAT => Self::ReadLink(at, c, d & u64::from(u32::MAX)),
            GETXATTR | LISTXATTR => Self::Xattr(At { dir: CWD, path: a }, 0),
            LGETXATTR | LLISTXATTR => Self::Xattr(At { dir: CWD, path: a }, NO_FOLLOW),
            IOCTL => Self::Ioctl(fd(a), low(b), c),
            FTRUNCATE => Self::Resize(fd(a), b),
            FALLOCATE => Self::Allocate(fd(a)),
            FCNTL => Self::AddSeals(fd(a), low(c)),
            UNAME => Self::Uname(a),
            KEXEC_FILE_LOAD => Self::KexecFileLoad(KexecFileLoad {
                kernel: fd(a),
                initrd: fd(b),
                cmdline_len: c,
                cmdline: d,
                flags: e,
            }),
            REBOOT => Self::Reboot(low(a), low(b), low(c)),
            _ => return None,
        })
    }

    /// Calls that later machines do not have.
    #[cfg(target_arch = "x86_64")]
    fn read_old(nr: u32, [a, b, c]: [u64; 3]) -> Option<Self> {
        let at = At { dir: CWD, path: a };
        Some(match nr {
            OPEN => Self::Open(at, low(b)),
            CREAT => Self::Open(at, CREATE),
            STAT => Self::Stat(at, 0, b),
            LSTAT => Self::Stat(at, NO_FOLLOW, b),
            ACCESS => Self::Access(at, low(b), 0),
            READLINK => Self::ReadLink(at, b, c & u64::from(u32::MAX)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use notify_sys::Task;

    use super::*;

    fn call(nr: u32, args: [u64; 6]) -> Option<Call> {
        let task = Task::new(rustix::thread::gettid());
        Call::read(&Notification {
            id: 1,
            task,
            nr,
            args,
        })
    }

    #[test]
    fn negative_descriptors_are_read_from_either_half() {
        let at = At {
            dir: -100,
            path: 0x7000,
        };
        let narrow = call(OPENAT, [0xffff_ff9c, 0x7000, 2, 0, 0, 0]);
        let wide = call(OPENAT, [(-100_i64).cast_unsigned(), 0x7000, 2, 0, 0, 0]);
        assert_eq!(narrow, Some(Call::Open(at, 2)));
        assert_eq!(wide, narrow);
    }

    #[test]
    fn every_call_of_the_filter_is_read() {
        for &nr in ALWAYS {
            assert!(call(nr, [0; 6]).is_some(), "{nr}");
        }
        for nr in [IOCTL, FCNTL] {
            assert!(call(nr, [0; 6]).is_some(), "{nr}");
        }
        assert_eq!(call(0xfff, [0; 6]), None);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn creat_is_an_open_for_writing() {
        let at = At {
            dir: CWD,
            path: 0x10,
        };
        assert_eq!(
            call(CREAT, [0x10, 0o600, 0, 0, 0, 0]),
            Some(Call::Open(at, 0o1101))
        );
    }
}
