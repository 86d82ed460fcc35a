//! Regions of `reserve_mem=`: memory with a label that stays where it is from kernel to kernel.
//!
//! Source: `mm/memblock.c`, v7.3: `prepare_kho_fdt()`, `reserve_mem_kho_revive()`.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node as _, Property as _};
use kho_abi::memblock::{
    COMPATIBLE, LABEL_LENGTH, MAX_REGIONS, NODE_NAME, REGION_COMPATIBLE, SIZE_PROP_NAME,
    START_PROP_NAME,
};

use crate::engine::{Kho, KhoMem};
use crate::error::KhoError;
use crate::fdt::{self, FdtError, Layout, Node};
use crate::phys::{Order, PhysAddr};
use crate::root_fdt::native_u64;
use crate::scratch::memparse;

/// Order of the string table: `fdt_property()` fills it from its end.
const STRINGS: [&str; 3] = [SIZE_PROP_NAME, START_PROP_NAME, "compatible"];

/// A region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its label on the command line: 1 to 15 bytes.
    pub label: String,
    /// Its first byte.
    pub start: PhysAddr,
    /// Its length.
    pub bytes: u64,
}

/// Why a list of regions cannot be handed over or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// It is no FDT.
    #[error(transparent)]
    Fdt(#[from] FdtError),
    /// It is of another version.
    #[error("the list of regions is not \"{COMPATIBLE}\"")]
    Version,
    /// A region has not all it needs; the kernel would not revive it.
    #[error("region \"{label}\" is not complete")]
    Incomplete {
        /// Its label.
        label: String,
    },
    /// More than the kernel has room for.
    #[error("{found} regions, {MAX_REGIONS} are possible")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A label that the command line cannot have.
    #[error("the label \"{label}\" has not 1 to 15 bytes")]
    Label {
        /// The label.
        label: String,
    },
    /// The list could not be preserved.
    #[error(transparent)]
    Kho(#[from] KhoError),
}

/// The list as an FDT, byte for byte as the kernel writes it.
///
/// # Errors
/// [`RegionError::TooMany`], [`RegionError::Label`].
pub fn to_fdt(regions: &[Region]) -> Result<Vec<u8>, RegionError> {
    let found = regions.len();
    if found > MAX_REGIONS {
        return Err(RegionError::TooMany { found });
    }
    let mut root = Node::new("").with("compatible", &terminated(COMPATIBLE));
    for region in regions {
        let label = region.label.clone();
        if label.is_empty() || label.len() >= LABEL_LENGTH {
            return Err(RegionError::Label { label });
        }
        let node = Node::new(&label)
            .with("compatible", &terminated(REGION_COMPATIBLE))
            .with(START_PROP_NAME, &region.start.0.to_ne_bytes())
            .with(SIZE_PROP_NAME, &region.bytes.to_ne_bytes());
        root.children.push(node);
    }
    // A list of none has only the version in its table.
    let strings: &[&str] = if found == 0 {
        &["compatible"]
    } else {
        &STRINGS
    };
    Ok(root.to_fdt(strings, Layout::Sequential))
}

/// Reads a list, a region at a time: one that is not complete is an error of its own.
///
/// # Errors
/// [`RegionError::Fdt`], [`RegionError::Version`].
pub fn read(bytes: &[u8]) -> Result<Vec<Result<Region, RegionError>>, RegionError> {
    let list = fdt::read(bytes)?;
    let root = list.root();
    if !is_compatible(&root, COMPATIBLE) {
        return Err(RegionError::Version);
    }
    let regions = root.children().take(MAX_REGIONS).map(|node| {
        let label = node.name().to_string();
        let value = |name| native_u64(node.property(name)?.value());
        let complete = is_compatible(&node, REGION_COMPATIBLE)
            .then(|| value(START_PROP_NAME).zip(value(SIZE_PROP_NAME)))
            .flatten();
        let Some((start, bytes)) = complete else {
            return Err(RegionError::Incomplete { label });
        };
        Ok(Region {
            label,
            start: PhysAddr(start),
            bytes,
        })
    });
    Ok(regions.collect())
}

/// What `reserve_mem=BYTES:ALIGN:LABEL` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The region's length.
    pub bytes: u64,
    /// What the address of its first byte is a multiple of.
    pub align_bytes: u64,
    /// Its label.
    pub label: String,
}

impl Request {
    /// The value of a word on the command line; `None`: the kernel makes no region of it (`reserve_mem()`).
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.splitn(3, ':');
        let (bytes, align, label) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = memparse(bytes).filter(|bytes| *bytes != 0)?;
        let align = if align.is_empty() {
            0
        } else {
            memparse(align)?
        };
        let is_label = !label.is_empty() && label.len() < LABEL_LENGTH && !label.contains(' ');
        let is_power = align == 0 || align.is_power_of_two();
        (is_label && is_power).then(|| Self {
            bytes,
            align_bytes: align.max(1),
            label: label.to_string(),
        })
    }
}

/// The region that `reserve_mem=BYTES:ALIGN:LABEL` gets again: same label, exactly the same length,
/// and where it was is aligned as asked. `None`: the kernel makes a new one.
pub fn revive<'a>(
    regions: &'a [Region],
    label: &str,
    bytes: u64,
    align_bytes: u64,
) -> Option<&'a Region> {
    let region = regions.iter().find(|region| region.label == label)?;
    let is_aligned = region.start.0 & align_bytes.checked_sub(1)? == 0;
    (is_aligned && region.bytes == bytes).then_some(region)
}

impl<M: KhoMem> Kho<M> {
    /// Preserves regions and announces them. Where the list is.
    ///
    /// # Errors
    /// [`RegionError`]; then nothing is announced.
    pub fn preserve_regions(&mut self, regions: &[Region]) -> Result<PhysAddr, RegionError> {
        let list = to_fdt(regions)?;
        let page_bytes = self.bytes(Order(0));
        let blob = self.alloc_preserve(page_bytes)?;
        self.mem.write(blob, &list).map_err(KhoError::from)?;
        for region in regions {
            self.preserve_pages(region.start, region.bytes.div_ceil(page_bytes))?;
        }
        let size_bytes = u64::try_from(list.len()).unwrap_or(u64::MAX);
        self.add_subtree(NODE_NAME, blob, size_bytes)?;
        Ok(blob)
    }

    /// Regions that were received; those that are not complete are left out, as the kernel does.
    ///
    /// # Errors
    /// [`RegionError`]: there are none then.
    pub fn received_regions(&self) -> Result<Vec<Region>, RegionError> {
        let Ok((addr, bytes)) = self.retrieve_subtree(NODE_NAME) else {
            return Ok(Vec::new());
        };
        let page_bytes = self.mem.page_size().bytes();
        let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(page_bytes);
        let mut list = alloc::vec![0; length];
        self.mem.read(addr, &mut list).map_err(KhoError::from)?;
        Ok(read(&list)?.into_iter().flatten().collect())
    }
}

fn terminated(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn is_compatible(node: &FdtNode<'_>, with: &str) -> bool {
    let property = node.property("compatible");
    let value = property.as_ref().map(|property| property.value());
    let mut names = value.unwrap_or_default().split(|&byte| byte == 0);
    names.any(|name| name == with.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::recorded;

    /// The blob of memblock in a handover of Linux 7.3.4.
    fn linux() -> Vec<u8> {
        recorded::page(0x86_f000, 210)
    }

    fn region(label: &str, start: u64, bytes: u64) -> Region {
        Region {
            label: label.into(),
            start: PhysAddr(start),
            bytes,
        }
    }

    #[test]
    fn a_list_of_linux_is_read_and_written_byte_for_byte() {
        let regions = vec![region("rmtest", 0x1ec0_0000, 0x20_0000)];
        let read: Result<Vec<Region>, _> = read(&linux()).unwrap().into_iter().collect();
        assert_eq!(read.as_ref(), Ok(&regions));
        assert_eq!(to_fdt(&regions).unwrap(), linux());
    }

    #[test]
    fn a_region_is_revived_when_label_length_and_alignment_fit() {
        let regions = [
            region("a", 0x1100_0000, 4096),
            region("b", 0x1200_0000, 8192),
        ];
        assert_eq!(revive(&regions, "b", 8192, 0x100_0000), Some(&regions[1]));
        for (label, bytes, align) in [
            ("c", 8192, 4096),
            ("b", 4096, 4096),
            ("b", 12288, 4096),
            ("a", 4096, 0x200_0000),
        ] {
            assert_eq!(revive(&regions, label, bytes, align), None, "{label}");
        }
    }

    #[test]
    fn what_the_command_line_cannot_have_is_refused() {
        let long = to_fdt(&[region("sixteen-letters!", 0, 1)]);
        assert!(matches!(long, Err(RegionError::Label { .. })));
        let nine: Vec<_> = (0..9)
            .map(|n| region(&std::format!("r{n}"), n << 12, 1))
            .collect();
        assert_eq!(to_fdt(&nine), Err(RegionError::TooMany { found: 9 }));
        assert!(to_fdt(&nine[..8]).is_ok());
    }

    #[test]
    fn a_region_that_is_not_complete_is_named() {
        let mut bytes = linux();
        let at = bytes
            .windows(14)
            .position(|word| word == b"reserve-mem-v1")
            .unwrap();
        bytes[at + 13] = b'2';
        let label = "rmtest".into();
        assert_eq!(
            read(&bytes).unwrap(),
            [Err(RegionError::Incomplete { label })]
        );
    }
}
