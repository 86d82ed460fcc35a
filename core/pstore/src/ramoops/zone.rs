//! One zone: its header and its ring.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | `sig` u32 | [`SIGNATURE`]; zones of ftrace: XOR the version of the kernel |
//! | 4 | `start` u32 | where in the data the next byte goes |
//! | 8 | `size` u32 | bytes of data that are valid |
//! | 12 | data | oldest first: `start..size`, then `0..start` |
//!
//! Integers are those of the machine; both it and its next kernel have the same.
//!
//! Source: `struct persistent_ram_buffer`, `persistent_ram_post_init()` (`fs/pstore/ram_core.c`), v7.3.

use alloc::vec::Vec;

use super::geometry::{Zone, ZoneKind};

/// Bytes of the header.
pub const HEADER_BYTES: u64 = 12;
/// What a valid zone begins with: `DBGC`.
#[doc(alias = "PERSISTENT_RAM_SIG")]
pub const SIGNATURE: u32 = 0x4347_4244;

/// Why a zone has no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// The image ends before the zone does.
    #[error("the zone at {offset:#x} has {bytes} bytes, and the image ends before")]
    Cut {
        /// Where the zone begins.
        offset: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// It has another signature: nothing was ever written with this geometry.
    #[error("the zone at {offset:#x} begins with {found:#010x}, not with {SIGNATURE:#010x}")]
    Signature {
        /// Where the zone begins.
        offset: u64,
        /// What is there.
        found: u32,
    },
    /// More than fits: the driver would discard it.
    #[error("the zone at {offset:#x} claims {size} bytes from {start} on in {capacity_bytes}")]
    Ring {
        /// Where the zone begins.
        offset: u64,
        /// Bytes it claims.
        size: u32,
        /// Where the next byte would go.
        start: u32,
        /// Bytes there is room for.
        capacity_bytes: u64,
    },
}

/// The data of a zone in order, oldest first.
///
/// # Errors
/// [`ZoneError`].
pub fn ring(image: &[u8], zone: &Zone) -> Result<Vec<u8>, ZoneError> {
    let offset = zone.offset;
    let cut = ZoneError::Cut {
        offset,
        bytes: zone.bytes,
    };
    let place = || {
        let start = usize::try_from(offset).ok()?;
        let bytes = usize::try_from(zone.bytes).ok()?;
        image.get(start..start.checked_add(bytes)?)
    };
    let zone_bytes = place().ok_or(cut)?;
    let (header, data) = zone_bytes.split_first_chunk::<12>().ok_or(cut)?;
    let [sig, start, size] = words(*header);
    // Of ftrace the version of the kernel is not known here.
    if sig != SIGNATURE && zone.kind != ZoneKind::Ftrace {
        return Err(ZoneError::Signature { offset, found: sig });
    }
    let wrong = ZoneError::Ring {
        offset,
        size,
        start,
        capacity_bytes: zone.capacity_bytes,
    };
    let valid = || {
        let size = usize::try_from(size).ok()?;
        let capacity = usize::try_from(zone.capacity_bytes).ok()?;
        let data = data.get(..capacity)?.get(..size)?;
        data.split_at_checked(usize::try_from(start).ok()?)
    };
    let (newer, older) = valid().ok_or(wrong)?;
    Ok([older, newer].concat())
}

fn words(header: [u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = header;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}
