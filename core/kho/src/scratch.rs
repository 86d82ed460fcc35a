//! Scratch: the only memory the next kernel may use before it knows what is preserved.
//!
//! Source: `kernel/liveupdate/kexec_handover.c`, v7.3: `kho_reserve_scratch()`,
//! `kho_parse_scratch_size()`, `scratch_size_update()`, `kho_scratch_overlap()`.

use alloc::vec::Vec;

use kho_abi::PageSize;
use kho_abi::kexec_handover::Scratch;
use zerocopy::{FromBytes, IntoBytes};

use crate::phys::PhysAddr;

/// `MAX_PAGE_ORDER` of x86 and, with 4 KiB pages, of arm64.
const MAX_PAGE_ORDER: u32 = 10;

/// One area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its first byte.
    pub addr: PhysAddr,
    /// Its length; 0 happens and is no area.
    pub bytes: u64,
}

/// The areas, in the kernel's order: low memory, global, one for each NUMA node with memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScratchAreas {
    areas: Vec<Area>,
    empty_overlaps: bool,
}

impl ScratchAreas {
    /// These areas.
    pub fn new(areas: Vec<Area>) -> Self {
        Self {
            areas,
            empty_overlaps: false,
        }
    }

    /// The same, but an area of no size strictly inside a block counts as an overlap: Linux 7.3.4.
    #[must_use]
    pub fn with_empty_overlaps(mut self) -> Self {
        self.empty_overlaps = true;
        self
    }

    /// Reads the array that a kernel hands over; what is left of less than an entry is ignored, as
    /// the kernel does.
    pub fn read(bytes: &[u8]) -> Self {
        let entries = bytes.chunks_exact(size_of::<Scratch>());
        let areas = entries.filter_map(|entry| Scratch::read_from_bytes(entry).ok());
        Self::new(
            areas
                .map(|area| Area {
                    addr: PhysAddr(area.addr),
                    bytes: area.size,
                })
                .collect(),
        )
    }

    /// The array as a kernel hands it over.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entry = |area: &Area| Scratch {
            addr: area.addr.0,
            size: area.bytes,
        };
        let entries = self.areas.iter().map(entry);
        entries
            .flat_map(|entry| entry.as_bytes().to_vec())
            .collect()
    }

    /// Every area, also those of no size.
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// Whether some of these bytes are scratch.
    pub fn overlap(&self, addr: PhysAddr, bytes: u64) -> bool {
        let end = addr.0.saturating_add(bytes);
        self.areas.iter().any(|area| {
            let area_end = area.addr.0.saturating_add(area.bytes);
            let counts = area.bytes != 0 || self.empty_overlaps;
            counts && addr.0 < area_end && end > area.addr.0
        })
    }
}

/// What the command line says about scratch: `kho_scratch=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScratchSize {
    /// Percent of what the kernel has reserved for itself by then.
    Scale {
        /// 200 by default.
        percent: u32,
    },
    /// Bytes.
    Fixed {
        /// Below the address limit of 32-bit devices.
        low_bytes: u64,
        /// Anywhere.
        global_bytes: u64,
        /// On each node.
        per_node_bytes: u64,
    },
}

impl Default for ScratchSize {
    fn default() -> Self {
        Self::Scale { percent: 200 }
    }
}

/// A value of `kho_scratch=` that the kernel refuses: it uses the default then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size of scratch: percent (\"200%\") or three sizes (\"256M,512M,0\")")]
pub struct ScratchSizeError;

impl ScratchSize {
    /// Reads the value of `kho_scratch=`: `NN%`, or `low,global,pernode`, each with `K`, `M`, `G`
    /// and so on.
    ///
    /// # Errors
    /// [`ScratchSizeError`].
    pub fn parse(value: &str) -> Result<Self, ScratchSizeError> {
        if let Some(percent) = value.strip_suffix('%') {
            // The kernel's buffer holds ten digits and a NUL.
            let percent = Some(percent).filter(|percent| percent.len() <= 10);
            // kstrtouint() takes one plus sign; so does Rust.
            let percent = percent.and_then(|percent| percent.parse().ok());
            let percent = percent.ok_or(ScratchSizeError)?;
            return Ok(Self::Scale { percent });
        }
        let mut sizes = value.split(',').map(memparse);
        let mut next = || sizes.next().flatten().ok_or(ScratchSizeError);
        let (low_bytes, global_bytes, per_node_bytes) = (next()?, next()?, next()?);
        let sum = low_bytes
            .wrapping_add(global_bytes)
            .wrapping_add(per_node_bytes);
        if sizes.next().is_some() || sum == 0 {
            return Err(ScratchSizeError);
        }
        Ok(Self::Fixed {
            low_bytes,
            global_bytes,
            per_node_bytes,
        })
    }

    /// Bytes of each area a cold boot makes.
    pub fn areas(self, reserved: &KernelReserved, page_size: PageSize) -> AreaSizes {
        let scaled = |bytes: u64, percent: u32| {
            let scaled = u128::from(bytes).wrapping_mul(u128::from(percent)) / 100;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        let (low, global, nodes) = match self {
            Self::Scale { percent } => {
                let low = scaled(reserved.low_bytes, percent);
                let all = scaled(reserved.all_bytes, percent);
                let nodes = reserved.node_bytes.iter();
                let nodes = nodes.map(|&bytes| scaled(bytes, percent)).collect();
                (low, all.saturating_sub(low), nodes)
            }
            Self::Fixed {
                low_bytes,
                global_bytes,
                per_node_bytes,
            } => {
                let nodes = reserved.node_bytes.iter().map(|_| per_node_bytes);
                (low_bytes, global_bytes, nodes.collect::<Vec<u64>>())
            }
        };
        let align = 1_u64.wrapping_shl(page_size.shift().saturating_add(MAX_PAGE_ORDER));
        let up = |bytes: u64| bytes.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        AreaSizes {
            low_bytes: up(low),
            global_bytes: up(global),
            node_bytes: nodes.into_iter().map(up).collect(),
        }
    }
}

/// What the kernel has reserved for itself when scratch is made, without huge pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelReserved {
    /// Below the address limit of 32-bit devices.
    pub low_bytes: u64,
    /// Everywhere.
    pub all_bytes: u64,
    /// On each NUMA node with memory.
    pub node_bytes: Vec<u64>,
}

/// Sizes of the areas: multiples of the largest block of the page allocator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaSizes {
    /// Below the address limit of 32-bit devices.
    pub low_bytes: u64,
    /// Anywhere.
    pub global_bytes: u64,
    /// On each NUMA node with memory.
    pub node_bytes: Vec<u64>,
}

/// A number as `memparse()` reads it (`lib/cmdline.c`, v7.3), whole: decimal, octal or
/// hexadecimal, then a unit.
pub(crate) fn memparse(text: &str) -> Option<u64> {
    let (shift, digits) = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => (10, text.get(..text.len().saturating_sub(1))?),
        b'M' => (20, text.get(..text.len().saturating_sub(1))?),
        b'G' => (30, text.get(..text.len().saturating_sub(1))?),
        b'T' => (40, text.get(..text.len().saturating_sub(1))?),
        b'P' => (50, text.get(..text.len().saturating_sub(1))?),
        // In a hexadecimal number an E is a digit.
        b'E' if !text.starts_with("0x") => (60, text.get(..text.len().saturating_sub(1))?),
        _ => (0, text),
    };
    let lower = digits.to_ascii_lowercase();
    if !lower.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let value = if let Some(hexadecimal) = lower.strip_prefix("0x") {
        u64::from_str_radix(hexadecimal, 16)
    } else if lower.len() > 1 && lower.starts_with('0') {
        u64::from_str_radix(&lower, 8)
    } else {
        lower.parse()
    };
    Some(value.ok()?.wrapping_shl(shift))
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Seen on a guest of 512 MiB.
    fn seen() -> ScratchAreas {
        let area = |addr, bytes| Area {
            addr: PhysAddr(addr),
            bytes,
        };
        ScratchAreas::new(vec![
            area(0x1a80_0000, 0x440_0000),
            area(0x1f80_0000, 0),
            area(0xdc0_0000, 0xcc0_0000),
        ])
    }

    #[test]
    fn the_array_is_read_as_it_is_written() {
        let mut bytes = seen().to_bytes();
        assert_eq!(bytes.len(), 48);
        bytes.extend([1; 15]);
        assert_eq!(ScratchAreas::read(&bytes), seen());
    }

    #[test]
    fn an_area_of_no_size_overlaps_on_linux_only() {
        let around = |areas: ScratchAreas| areas.overlap(PhysAddr(0x1f7f_f000), 0x2000);
        assert!(!around(seen()));
        assert!(around(seen().with_empty_overlaps()));
        let at_its_edge = seen().with_empty_overlaps();
        assert!(!at_its_edge.overlap(PhysAddr(0x1f80_0000), 0x1000));
    }

    #[test]
    fn blocks_beside_an_area_do_not_overlap_it() {
        assert!(!seen().overlap(PhysAddr(0xdbf_f000), 0x1000));
        assert!(seen().overlap(PhysAddr(0xdbf_f000), 0x1001));
        assert!(seen().overlap(PhysAddr(0x1ebf_f000), 0x1000));
        assert!(!seen().overlap(PhysAddr(0x1ec0_0000), 0x1000));
    }

    #[test]
    fn the_command_line_is_read_as_the_kernel_reads_it() {
        let fixed = |low_bytes, global_bytes, per_node_bytes| ScratchSize::Fixed {
            low_bytes,
            global_bytes,
            per_node_bytes,
        };
        for (value, expected) in [
            ("50%", Ok(ScratchSize::Scale { percent: 50 })),
            ("4294967295%", Ok(ScratchSize::Scale { percent: u32::MAX })),
            ("256M,1g,0", Ok(fixed(256 * MIB, 1024 * MIB, 0))),
            ("0x10K,010,8", Ok(fixed(16384, 8, 8))),
            ("", Err(ScratchSizeError)),
            ("%", Err(ScratchSizeError)),
            ("4294967296%", Err(ScratchSizeError)),
            ("00000000050%", Err(ScratchSizeError)),
            ("256M,512M", Err(ScratchSizeError)),
            ("256M,512M,0,", Err(ScratchSizeError)),
            ("256M,512M,0x", Err(ScratchSizeError)),
            ("0,0,0", Err(ScratchSizeError)),
        ] {
            assert_eq!(ScratchSize::parse(value), expected, "{value:?}");
        }
    }

    #[test]
    fn areas_are_whole_blocks_of_the_page_allocator() {
        let reserved = KernelReserved {
            low_bytes: 30 * MIB,
            all_bytes: 100 * MIB,
            node_bytes: vec![100 * MIB, 0],
        };
        let sizes = ScratchSize::default().areas(&reserved, PageSize::Size4K);
        assert_eq!(sizes.low_bytes, 60 * MIB);
        assert_eq!(sizes.global_bytes, 140 * MIB);
        assert_eq!(sizes.node_bytes, [200 * MIB, 0]);
        let fixed = ScratchSize::parse("1,5M,1K").unwrap();
        let sizes = fixed.areas(&reserved, PageSize::Size4K);
        assert_eq!((sizes.low_bytes, sizes.global_bytes), (4 * MIB, 8 * MIB));
        assert_eq!(sizes.node_bytes, [4 * MIB; 2]);
    }
}
