//! Commands as no client gives them: of any number, with arguments of any size, in memory that ends
//! early or cannot be written. For tests of a kernel, or of what stands in for one.
//!
//! Soundness: an [`Argument`] is a mapping of its own that nothing in this program refers to, with
//! a page behind it that nobody can access. Whatever size the argument says it has, and whatever
//! the command is, the kernel writes inside the mapping or not at all; its bytes are only copied in
//! and out. Commands of this device have no addresses in their arguments
//! (`include/uapi/linux/liveupdate.h`, v7.3).
#![expect(
    unsafe_code,
    reason = "memory and ioctls that are wrong on purpose; the argument is in the module's documentation"
)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};
use std::ptr::{self, NonNull};

use liveupdate_uapi::mainline as uapi;
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

/// Type of the commands of this device: the second byte of their number.
const TYPE: u32 = 0xba00;

/// Memory with an argument at its very end.
///
/// # Invariants
/// `page` is the first of two pages of a mapping that only this value knows; the second cannot be
/// accessed. `len` is at most the size of a page.
#[derive(Debug)]
pub struct Argument {
    page: NonNull<c_void>,
    page_bytes: usize,
    len: usize,
}

impl Argument {
    /// These bytes, at most a page of them, with no memory behind.
    ///
    /// # Errors
    /// No memory, or too many bytes.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let page_bytes = rustix::param::page_size();
        if bytes.len() > page_bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping, at an address the kernel chooses.
        let page = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                2 * page_bytes,
                protection,
                MapFlags::PRIVATE,
            )
        }?;
        let page = NonNull::new(page).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut argument = Self {
            page,
            page_bytes,
            len: bytes.len(),
        };
        let behind = page.as_ptr().wrapping_byte_add(page_bytes);
        // SAFETY: the second page of the mapping that was just made; nothing refers to it.
        unsafe { rustix::mm::mprotect(behind, page_bytes, MprotectFlags::empty()) }?;
        argument.fill(bytes);
        Ok(argument)
    }

    /// As [`Argument::new`], but it cannot be written.
    ///
    /// # Errors
    /// As [`Argument::new`].
    pub fn read_only(bytes: &[u8]) -> io::Result<Self> {
        let argument = Self::new(bytes)?;
        // SAFETY: the first page of this value's mapping; it is only read from now on, as `fill` is
        // only called by `new`.
        unsafe {
            rustix::mm::mprotect(
                argument.page.as_ptr(),
                argument.page_bytes,
                MprotectFlags::READ,
            )
        }?;
        Ok(argument)
    }

    /// The bytes as they are now.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        // SAFETY: `len` bytes from `start` are inside the first page, which can be read; the
        // kernel writes to it in `ioctl` only, which takes the value exclusively.
        unsafe { ptr::copy_nonoverlapping(self.start(), bytes.as_mut_ptr(), self.len) };
        bytes
    }

    fn start(&self) -> *mut u8 {
        let offset = self.page_bytes - self.len;
        self.page.as_ptr().cast::<u8>().wrapping_add(offset)
    }

    fn fill(&mut self, bytes: &[u8]) {
        // SAFETY: as in `bytes`; `new` calls it before the page may become read-only, with `len`
        // bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start(), self.len) };
    }
}

impl Drop for Argument {
    fn drop(&mut self) {
        // SAFETY: the whole mapping of this value, which nothing refers to any more.
        let _unmapped = unsafe { rustix::mm::munmap(self.page.as_ptr(), 2 * self.page_bytes) };
    }
}

struct Probe {
    cmd: u32,
    at: *mut u8,
}

// SAFETY: `at` is null, where nobody has memory, or the start of an `Argument`, which stands any
// access (see the module's documentation).
unsafe impl Ioctl for Probe {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.cmd
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.at.cast()
    }

    unsafe fn output_from_ptr(
        answer: IoctlOutput,
        _argument: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(answer)
    }
}

/// Gives a command with an argument, or with a null pointer.
///
/// # Errors
/// What the kernel answers; `EINVAL` also for commands of other types than this device's.
pub fn ioctl(fd: impl AsFd, cmd: u32, argument: Option<&mut Argument>) -> Result<i32, Errno> {
    if cmd & 0xff00 != TYPE {
        return Err(Errno::INVAL);
    }
    let at = argument.map_or(ptr::null_mut(), |it| it.start());
    // SAFETY: proven at `Probe`.
    unsafe { rustix::ioctl::ioctl(fd, Probe { cmd, at }) }
}

/// Gives one of the commands that answer a new descriptor, and takes it.
///
/// # Errors
/// What the kernel answers; `EINVAL` also for other commands, and for an argument that is too short
/// for the answer.
pub fn ioctl_for_fd(fd: impl AsFd, cmd: u32, argument: &mut Argument) -> Result<OwnedFd, Errno> {
    const ANSWERING: [u32; 3] = [
        uapi::IOCTL_CREATE_SESSION,
        uapi::IOCTL_RETRIEVE_SESSION,
        uapi::SESSION_RETRIEVE_FD,
    ];
    if !ANSWERING.contains(&cmd) || argument.len < 8 {
        return Err(Errno::INVAL);
    }
    ioctl(fd, cmd, Some(argument))?;
    let number = argument.bytes().get(4..8).and_then(|it| it.try_into().ok());
    let number = number.map_or(-1, i32::from_ne_bytes);
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the command has succeeded, so it has put a new descriptor's number there, which
    // nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_has_its_bytes_and_no_memory_behind() {
        let argument = Argument::new(&[7; 72]).unwrap();
        assert_eq!(argument.bytes(), [7; 72]);
        assert!(Argument::new(&vec![0; rustix::param::page_size() + 1]).is_err());
        assert_eq!(Argument::read_only(&[1, 2]).unwrap().bytes(), [1, 2]);
    }

    #[test]
    fn a_command_of_another_type_is_not_given() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(ioctl(&file, 0x5401, None), Err(Errno::INVAL));
        assert_eq!(ioctl(&file, 0xba00, None), Err(Errno::NOTTY));
    }
}
