//! The system calls themselves: the only unsafe code of this crate but for `unshare(2)`.
#![expect(
    unsafe_code,
    reason = "neither rustix nor libc has a wrapper of these system calls"
)]

use std::ffi::{CStr, c_long};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::io::Errno;

const MOUNT_SETATTR: c_long = 442;
const STATMOUNT: c_long = 457;
const LISTMOUNT: c_long = 458;
const OPEN_TREE_ATTR: c_long = 467;

/// `struct mount_attr` of 32 bytes (`MOUNT_ATTR_SIZE_VER0`).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct MountAttr {
    pub(crate) attr_set: u64,
    pub(crate) attr_clr: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// `struct mnt_id_req` of 24 bytes (`MNT_ID_REQ_SIZE_VER0`): the caller's own mount namespace.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct MntIdReq {
    size: u32,
    spare: u32,
    mnt_id: u64,
    param: u64,
}

const _: () = assert!(size_of::<MountAttr>() == 32 && size_of::<MntIdReq>() == 24);

impl MntIdReq {
    pub(crate) const fn new(mnt_id: u64, param: u64) -> Self {
        Self {
            size: 24,
            spare: 0,
            mnt_id,
            param,
        }
    }
}

fn answered(answer: c_long) -> Result<c_long, Errno> {
    if answer >= 0 {
        return Ok(answer);
    }
    let errno = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&errno).unwrap_or(Errno::IO))
}

pub(crate) fn mount_setattr(
    folder: BorrowedFd<'_>,
    path: &CStr,
    flags: u32,
    attr: &MountAttr,
) -> Result<(), Errno> {
    // SAFETY: the kernel reads a live C string and `size_of::<MountAttr>()` bytes of a live struct,
    // and writes to no memory of ours; both descriptors are borrowed for the call.
    let answer = unsafe {
        libc::syscall(
            MOUNT_SETATTR,
            folder.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    answered(answer).map(|_zero| ())
}

/// `MOUNT_ATTR_IDMAP` (`include/uapi/linux/mount.h`, v7.3).
const IDMAP: u64 = 0x10_0000;

pub(crate) fn mount_set_idmap(
    folder: BorrowedFd<'_>,
    path: &CStr,
    flags: u32,
    user_namespace: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let fd = u64::try_from(user_namespace.as_raw_fd()).map_err(|_negative| Errno::BADF)?;
    // Borrowed until the call is over.
    let attr = MountAttr {
        attr_set: IDMAP,
        userns_fd: fd,
        ..MountAttr::default()
    };
    mount_setattr(folder, path, flags, &attr)
}

pub(crate) fn open_tree_attr(
    folder: BorrowedFd<'_>,
    path: &CStr,
    flags: u32,
    attr: &MountAttr,
) -> Result<OwnedFd, Errno> {
    // SAFETY: as of `mount_setattr`.
    let answer = unsafe {
        libc::syscall(
            OPEN_TREE_ATTR,
            folder.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    let fd = RawFd::try_from(answered(answer)?).map_err(|_too_large| Errno::IO)?;
    // SAFETY: the kernel made the descriptor for this call, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Writes at most `buffer.len()` bytes.
pub(crate) fn statmount(request: &MntIdReq, buffer: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads 24 bytes of a live struct and writes at most `buffer.len()` bytes to a
    // live buffer that is borrowed alone; any bytes are valid `u8`.
    let answer = unsafe {
        libc::syscall(
            STATMOUNT,
            std::ptr::from_ref(request),
            buffer.as_mut_ptr(),
            buffer.len(),
            0_u32,
        )
    };
    answered(answer).map(|_zero| ())
}

/// Writes at most `buffer.len()` numbers and says how many.
pub(crate) fn listmount(request: &MntIdReq, buffer: &mut [u64]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads 24 bytes of a live struct and writes at most `buffer.len()` numbers of
    // 64 bits to a live buffer that is borrowed alone.
    let answer = unsafe {
        libc::syscall(
            LISTMOUNT,
            std::ptr::from_ref(request),
            buffer.as_mut_ptr(),
            buffer.len(),
            0_u32,
        )
    };
    usize::try_from(answered(answer)?).map_err(|_negative| Errno::IO)
}
