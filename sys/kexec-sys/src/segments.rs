//! `kexec_load(2)`.
#![expect(
    unsafe_code,
    reason = "neither rustix nor libc has a wrapper of this system call"
)]

use std::ffi::c_void;
use std::ptr;

use handoff::KexecSegment;
use kho::PhysAddr;
use rustix::io::Errno;

use crate::error::LoadSegmentsError;

/// `struct kexec_segment` of `include/uapi/linux/kexec.h`, v7.2 and v7.3.
#[repr(C)]
struct RawSegment {
    buf: *const c_void,
    bufsz: usize,
    mem: *const c_void,
    memsz: usize,
}

/// Loads `segments` as what the next [`crate::reboot::kexec`] puts into memory; it then jumps to
/// `entry`, in long mode, with memory mapped one to one.
///
/// What was loaded before is replaced only on success. Nothing of this kernel's handover
/// goes along. Counts against `kernel.kexec_load_limit_reboot`.
///
/// # Errors
/// [`LoadSegmentsError`] with the kernel's errno and its meaning.
pub fn load_segments(
    entry: PhysAddr,
    segments: &[KexecSegment<'_>],
) -> Result<(), LoadSegmentsError> {
    let out_of_reach = LoadSegmentsError::new(Errno::ADDRNOTAVAIL);
    let raw = |segment: &KexecSegment<'_>| {
        let mem = usize::try_from(segment.addr.0).map_err(|_too_large| out_of_reach)?;
        let memsz = usize::try_from(segment.len_bytes).map_err(|_too_large| out_of_reach)?;
        Ok(RawSegment {
            buf: segment.bytes.as_ptr().cast(),
            bufsz: segment.bytes.len(),
            mem: ptr::without_provenance(mem),
            memsz,
        })
    };
    let raw: Vec<RawSegment> = segments.iter().map(raw).collect::<Result<_, _>>()?;
    let entry = usize::try_from(entry.0).map_err(|_too_large| out_of_reach)?;
    call(entry, &raw)
}

/// Drops what is loaded, by either call. Counts against the load limit too: `kexec_load_permitted`
/// runs first (`kernel/kexec.c`, v7.3).
///
/// # Errors
/// [`LoadSegmentsError`]; nothing loaded is no error.
pub fn unload_segments() -> Result<(), LoadSegmentsError> {
    call(0, &[])
}

fn call(entry: usize, segments: &[RawSegment]) -> Result<(), LoadSegmentsError> {
    // SAFETY: the kernel reads `segments.len()` elements of a live array, and for each at most
    // `bufsz` bytes of a slice that the caller still borrows. It writes to no memory of ours; what
    // it puts at `mem` it does after the jump, when this program is gone.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_kexec_load,
            entry,
            segments.len(),
            segments.as_ptr(),
            0_usize,
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error();
    Err(LoadSegmentsError::new(
        Errno::from_io_error(&errno).unwrap_or(Errno::IO),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_no_page_is_refused_with_a_reason() {
        let segment = KexecSegment {
            addr: PhysAddr(0x1001),
            bytes: [0xcc].as_slice().into(),
            len_bytes: 1,
        };
        // As an ordinary user EPERM, as root EADDRNOTAVAIL or, on a host without the call, ENOSYS:
        // never success, always a meaning.
        let error = load_segments(PhysAddr(0x1001), &[segment]).unwrap_err();
        assert!(error.to_string().starts_with("kexec_load: "), "{error}");
    }
}
