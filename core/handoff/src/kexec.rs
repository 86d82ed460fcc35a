//! As segments of `kexec_load(2)`.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use kho::PhysAddr;

use crate::boot::{Prepared, Role};
use crate::extent::Extent;

/// Segments the call takes: `KEXEC_SEGMENT_MAX`, `include/uapi/linux/kexec.h`, v7.2 and v7.3.
pub const KEXEC_SEGMENT_MAX: usize = 16;

/// One segment of `kexec_load(2)`.
#[derive(Clone, Debug)]
pub struct KexecSegment<'a> {
    /// Where it goes.
    pub addr: PhysAddr,
    /// What is put there.
    pub bytes: Cow<'a, [u8]>,
    /// Whole pages; the kernel fills what is behind `bytes` with zeros.
    pub len_bytes: u64,
}

/// Why `kexec_load(2)` would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KexecError {
    /// The kernel copies everything, and takes no more than half of the memory for it
    /// (`sanity_check_segment_list`, `kernel/kexec_core.c`).
    #[error(
        "{found_bytes} bytes to load in {KEXEC_SEGMENT_MAX} segments; kexec_load(2) takes {max_bytes} on this machine: put the handover's pages closer together"
    )]
    TooLarge {
        /// Bytes of all segments, gaps that had to be filled included.
        found_bytes: u64,
        /// Half of the memory.
        max_bytes: u64,
    },
}

impl Prepared<'_> {
    /// The segments, with entry [`entry`](Self::entry).
    ///
    /// The call takes [`KEXEC_SEGMENT_MAX`] of them. When there are more, the smallest gaps between
    /// them are filled with zeros: memory in a gap is not preserved, so nobody's.
    ///
    /// # Errors
    /// [`KexecError`].
    pub fn kexec_segments(&self) -> Result<Vec<KexecSegment<'_>>, KexecError> {
        let extents = close_gaps(Extent::join(&self.segments, Some(Role::Trampoline)));
        let max_bytes = self.ram_bytes.div_euclid(2);
        let sum = |sum: u64, extent: &Extent<'_>| sum.saturating_add(extent.span.bytes());
        let found_bytes = extents.iter().fold(0, sum);
        let too_large = KexecError::TooLarge {
            found_bytes,
            max_bytes,
        };
        if found_bytes > max_bytes {
            return Err(too_large);
        }
        let segment = |extent: &Extent<'_>| {
            Ok(KexecSegment {
                addr: PhysAddr(extent.span.start),
                // A copy of all parts into one buffer; the bound above holds for it, too.
                bytes: Cow::Owned(extent.content().ok_or(too_large)?.into_owned()),
                len_bytes: extent.span.bytes(),
            })
        };
        extents.iter().map(segment).collect()
    }
}

/// Joins over the smallest gaps until there are few enough.
fn close_gaps(extents: Vec<Extent<'_>>) -> Vec<Extent<'_>> {
    let gap = |[one, other]: &[Extent<'_>; 2]| {
        let bytes = other.span.start.saturating_sub(one.span.end);
        (bytes, other.span.start)
    };
    let mut gaps: Vec<_> = extents.array_windows().map(gap).collect();
    gaps.sort_unstable();
    let surplus = extents.len().saturating_sub(KEXEC_SEGMENT_MAX);
    let mut closed: Vec<u64> = gaps.iter().take(surplus).map(|&(_, start)| start).collect();
    closed.sort_unstable();
    let mut all: Vec<Extent<'_>> = Vec::new();
    for extent in extents {
        let is_closed = closed.binary_search(&extent.span.start).is_ok();
        match all.last_mut() {
            Some(last) if is_closed => last.append(extent),
            _ => all.push(extent),
        }
    }
    all
}
