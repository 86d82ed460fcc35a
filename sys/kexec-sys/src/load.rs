//! `kexec_file_load(2)`.
#![expect(
    unsafe_code,
    reason = "neither rustix nor libc has a wrapper of this system call"
)]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

use crate::error::LoadError;

/// `KEXEC_FILE_UNLOAD` of `include/uapi/linux/kexec.h`, v7.3.
const FILE_UNLOAD: libc::c_ulong = 0x1;
/// `KEXEC_FILE_NO_INITRAMFS`, same header.
const FILE_NO_INITRAMFS: libc::c_ulong = 0x4;

/// Loads `kernel` as the image of the next [`crate::reboot::kexec`].
///
/// The image already loaded, if any, is replaced only on success. With KHO on, every part is
/// placed inside the scratch areas. Counts against `kernel.kexec_load_limit_reboot`.
///
/// # Errors
/// [`LoadError`] with the kernel's errno and its meaning.
pub fn load(
    kernel: impl AsFd,
    initrd: Option<BorrowedFd<'_>>,
    cmdline: &CStr,
) -> Result<(), LoadError> {
    let flags = if initrd.is_some() {
        0
    } else {
        FILE_NO_INITRAMFS
    };
    let initrd = initrd.map_or(-1, |fd| fd.as_raw_fd());
    call(kernel.as_fd().as_raw_fd(), initrd, cmdline, flags)
}

/// Drops the loaded image. Counts against the load limit too: `kexec_load_permitted` runs before
/// the flags are looked at (`kernel/kexec_file.c`, v7.3).
///
/// # Errors
/// [`LoadError`]; nothing loaded is no error.
pub fn unload() -> Result<(), LoadError> {
    call(-1, -1, c"", FILE_UNLOAD)
}

fn call(kernel: i32, initrd: i32, cmdline: &CStr, flags: libc::c_ulong) -> Result<(), LoadError> {
    // SAFETY: the kernel reads `cmdline_len` bytes (with the NUL it insists on) from a live C
    // string, and files through descriptors that are borrowed for the call or -1. It writes to no
    // memory of ours.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel,
            initrd,
            cmdline.to_bytes_with_nul().len(),
            cmdline.as_ptr(),
            flags,
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error();
    Err(LoadError::new(
        Errno::from_io_error(&errno).unwrap_or(Errno::IO),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_kernel_is_refused_with_a_reason() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        // As an ordinary user EPERM, as root ENOEXEC or, on a host without the call, ENOSYS:
        // never success, always a meaning.
        let error = load(&file, None, c"quiet").unwrap_err();
        assert!(
            error.to_string().starts_with("kexec_file_load: "),
            "{error}"
        );
    }
}
