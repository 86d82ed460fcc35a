//! Memory of another process: `process_vm_readv(2)`, `process_vm_writev(2)`.
#![expect(
    unsafe_code,
    reason = "rustix has no wrapper of these calls; each is proven here, once"
)]

use std::ffi::c_void;
use std::ptr;

use rustix::process::Pid;

/// Not all of the memory can be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only {done_bytes} bytes at {addr:#x} can be accessed")]
pub struct Fault {
    /// Where.
    pub addr: u64,
    /// What was done before.
    pub done_bytes: usize,
}

/// Reads as much of `bytes` as is there: the rest was not accessible.
pub(crate) fn read(pid: Pid, addr: u64, bytes: &mut [u8]) -> usize {
    let Some(remote) = remote(addr, bytes.len()) else {
        return 0;
    };
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel writes at most `iov_len` bytes to `iov_base`, both of a slice that is
    // borrowed for the call. The remote address is an address of another process: it is not
    // accessed in this one, whatever it is.
    let done = unsafe {
        libc::process_vm_readv(
            pid.as_raw_nonzero().get(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(done).unwrap_or(0)
}

/// Writes as much of `bytes` as can be written.
pub(crate) fn write(pid: Pid, addr: u64, bytes: &[u8]) -> usize {
    let Some(remote) = remote(addr, bytes.len()) else {
        return 0;
    };
    let local = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel reads at most `iov_len` bytes from `iov_base`, both of a slice that is
    // borrowed for the call, and writes none of it (the pointer is mutable in the C type only). The
    // remote address is an address of another process.
    let done = unsafe {
        libc::process_vm_writev(
            pid.as_raw_nonzero().get(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(done).unwrap_or(0)
}

/// The other side of a transfer: an address that is only told to the kernel.
fn remote(addr: u64, len: usize) -> Option<libc::iovec> {
    let iov_base: *mut c_void = ptr::without_provenance_mut(usize::try_from(addr).ok()?);
    Some(libc::iovec {
        iov_base,
        iov_len: len,
    })
}

/// `RLIMIT_NOFILE` of another process: how many descriptors it may have.
pub(crate) fn descriptor_limit(pid: Pid) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: no new limit is given, so nothing is changed; the kernel writes one `struct rlimit`
    // to a live local.
    let answer = unsafe {
        libc::prlimit(
            pid.as_raw_nonzero().get(),
            libc::RLIMIT_NOFILE,
            ptr::null(),
            &raw mut limit,
        )
    };
    (answer == 0).then_some(limit.rlim_cur)
}
