//! The six ioctls as values of [`rustix::ioctl::Ioctl`]: the only unsafe code of this crate.
//!
//! Soundness: each argument type starts with its own `size`, which [`LuoArg::SIZE`] fills in from
//! `size_of`, so the kernel never reads or writes outside the argument (`luo_ioctl` and
//! `luo_session_ioctl` copy at most `size` bytes in and out, `kernel/liveupdate/`, v7.3). All
//! arguments are plain old data: any bytes the kernel writes are a valid value.
#![expect(
    unsafe_code,
    reason = "an ioctl has no safe form; each obligation is proven here, once"
)]

use std::ffi::c_void;
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};

use liveupdate_uapi::mainline as uapi;
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode};

/// An ioctl argument of the mainline dialect.
///
/// # Safety
/// The type is plain old data (every bit pattern valid), `repr(C)`, starts with a `u32` size and
/// is the argument the kernel expects for `OPCODE`.
unsafe trait LuoArg: Copy {
    /// Command number.
    const OPCODE: u32;
    /// Bytes of the argument, as its `size` field says it.
    const SIZE: u32 = {
        let size = size_of::<Self>();
        assert!(size <= 4096, "an argument fits into a page");
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 4096, asserted above"
        )]
        {
            size as u32
        }
    };
}

// SAFETY: layout and number from include/uapi/linux/liveupdate.h (v7.3), proven by header-check.
unsafe impl LuoArg for uapi::CreateSession {
    const OPCODE: u32 = uapi::IOCTL_CREATE_SESSION;
}
// SAFETY: as above.
unsafe impl LuoArg for uapi::RetrieveSession {
    const OPCODE: u32 = uapi::IOCTL_RETRIEVE_SESSION;
}
// SAFETY: as above.
unsafe impl LuoArg for uapi::PreserveFd {
    const OPCODE: u32 = uapi::SESSION_PRESERVE_FD;
}
// SAFETY: as above.
unsafe impl LuoArg for uapi::RetrieveFd {
    const OPCODE: u32 = uapi::SESSION_RETRIEVE_FD;
}
// SAFETY: as above.
unsafe impl LuoArg for uapi::Finish {
    const OPCODE: u32 = uapi::SESSION_FINISH;
}
// SAFETY: as above.
unsafe impl LuoArg for uapi::GetName {
    const OPCODE: u32 = uapi::SESSION_GET_NAME;
}

/// One call: the argument goes in, the argument as the kernel left it comes out.
struct Exchange<A>(A);

// SAFETY: `as_ptr` points at a live `A`, which by `LuoArg` is what `OPCODE` takes; `IS_MUTATING`
// is true, so rustix passes it as memory that may be written.
unsafe impl<A: LuoArg> Ioctl for Exchange<A> {
    type Output = A;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        A::OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(
        _out: IoctlOutput,
        extract_output: *mut c_void,
    ) -> rustix::io::Result<A> {
        // SAFETY: rustix hands back the pointer of `as_ptr`, which is a live, aligned `A`.
        Ok(unsafe { extract_output.cast::<A>().read() })
    }
}

fn exchange<A: LuoArg>(fd: impl AsFd, arg: A) -> Result<A, Errno> {
    // SAFETY: `Exchange` keeps to the contract of `Ioctl`; on a descriptor that is no LUO object
    // the number is refused before the argument is looked at (ioctl type 0xBA is LUO's own,
    // Documentation/userspace-api/ioctl/ioctl-number.rst, v7.3).
    unsafe { rustix::ioctl::ioctl(fd, Exchange(arg)) }
}

/// Takes ownership of a descriptor an ioctl just returned.
fn adopt(fd: i32) -> Result<OwnedFd, Errno> {
    if fd < 0 {
        // The kernel never answers success with a negative descriptor; an emulation might.
        return Err(Errno::BADF);
    }
    // SAFETY: the ioctl succeeded, so the kernel installed this descriptor for us a moment ago and
    // nobody else in this process knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `LIVEUPDATE_IOCTL_CREATE_SESSION`.
pub(crate) fn create_session(
    device: impl AsFd,
    name: [u8; uapi::SESSION_NAME_LENGTH],
) -> Result<OwnedFd, Errno> {
    let arg = uapi::CreateSession {
        size: uapi::CreateSession::SIZE,
        fd: -1,
        name,
    };
    adopt(exchange(device, arg)?.fd)
}

/// `LIVEUPDATE_IOCTL_RETRIEVE_SESSION`.
pub(crate) fn retrieve_session(
    device: impl AsFd,
    name: [u8; uapi::SESSION_NAME_LENGTH],
) -> Result<OwnedFd, Errno> {
    let arg = uapi::RetrieveSession {
        size: uapi::RetrieveSession::SIZE,
        fd: -1,
        name,
    };
    adopt(exchange(device, arg)?.fd)
}

/// `LIVEUPDATE_SESSION_PRESERVE_FD`.
pub(crate) fn preserve_fd(session: impl AsFd, fd: i32, token: u64) -> Result<(), Errno> {
    let arg = uapi::PreserveFd {
        size: uapi::PreserveFd::SIZE,
        fd,
        token,
    };
    exchange(session, arg).map(drop)
}

/// `LIVEUPDATE_SESSION_RETRIEVE_FD`.
pub(crate) fn retrieve_fd(session: impl AsFd, token: u64) -> Result<OwnedFd, Errno> {
    let arg = uapi::RetrieveFd {
        size: uapi::RetrieveFd::SIZE,
        fd: -1,
        token,
    };
    adopt(exchange(session, arg)?.fd)
}

/// `LIVEUPDATE_SESSION_FINISH`.
pub(crate) fn finish(session: impl AsFd) -> Result<(), Errno> {
    let arg = uapi::Finish {
        size: uapi::Finish::SIZE,
        reserved: 0,
    };
    exchange(session, arg).map(drop)
}

/// `LIVEUPDATE_SESSION_GET_NAME`.
pub(crate) fn get_name(session: impl AsFd) -> Result<[u8; uapi::SESSION_NAME_LENGTH], Errno> {
    let name = [0; uapi::SESSION_NAME_LENGTH];
    let arg = uapi::GetName {
        size: uapi::GetName::SIZE,
        reserved: 0,
        name,
    };
    Ok(exchange(session, arg)?.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_not_of_luo_refuses_every_command() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(create_session(&file, [0; 64]).unwrap_err(), Errno::NOTTY);
        assert_eq!(preserve_fd(&file, 0, 0).unwrap_err(), Errno::NOTTY);
        assert_eq!(finish(&file).unwrap_err(), Errno::NOTTY);
    }

    #[test]
    fn sizes_are_those_of_the_header() {
        assert_eq!(uapi::CreateSession::SIZE, 72);
        assert_eq!(uapi::PreserveFd::SIZE, 16);
        assert_eq!(uapi::Finish::SIZE, 8);
    }
}
