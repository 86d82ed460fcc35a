//! How the next kernel is told where a handover is.
//!
//! * x86: a node of the list `setup_data` of the boot parameters
//!   (`arch/x86/kernel/kexec-bzimage64.c`, `arch/x86/kernel/setup.c`, v7.3);
//! * arm64 and others with a device tree: two properties of `/chosen` (`drivers/of/kexec.c`,
//!   `drivers/of/fdt.c`, v7.3).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dtoolkit::{Node as _, Property as _};
use kho_abi::PageSize;
use kho_abi::kexec_handover::{CHOSEN_FDT_PROP_NAME, CHOSEN_SCRATCH_PROP_NAME};
use kho_abi::setup_data::{KhoData, SetupData, SetupType};
use zerocopy::IntoBytes as _;

use crate::engine::Handoff;
use crate::fdt::{self, FdtError};
use crate::mem::{MemError, PhysMem};
use crate::phys::PhysAddr;
use crate::scratch::ScratchAreas;

/// Areas that are believed: low, global, and one for each of 1024 NUMA nodes (`MAX_NUMNODES`).
const MAX_SCRATCH_BYTES: u64 = 16 * 1026;

/// Where the root FDT and the array of scratch areas are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The root FDT.
    pub fdt: PhysAddr,
    /// Bytes of it: one page, whatever the FDT's own length.
    pub fdt_bytes: u64,
    /// The array of scratch areas.
    pub scratch: PhysAddr,
    /// Bytes of it: 16 for each area.
    pub scratch_bytes: u64,
}

/// Why no location can be read where one should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// A node, or what it leads to, is not in memory.
    #[error(transparent)]
    Memory(#[from] MemError),
    /// The list leads back to itself; the kernel would not come to its end.
    #[error("the list of setup_data leads back to {addr}")]
    Endless {
        /// The node that is met again.
        addr: PhysAddr,
    },
    /// The node is too short.
    #[error("the node of setup_data at {addr} has {len_bytes} bytes instead of 32")]
    Short {
        /// The node.
        addr: PhysAddr,
        /// What it says.
        len_bytes: u32,
    },
    /// The device tree.
    #[error(transparent)]
    Fdt(#[from] FdtError),
    /// More scratch areas than there can be nodes.
    #[error("{bytes} bytes of scratch areas are not believed")]
    Scratch {
        /// What is claimed.
        bytes: u64,
    },
}

impl Location {
    /// A handover whose scratch array is at `scratch`.
    pub fn new(handoff: &Handoff, scratch: PhysAddr, page_size: PageSize) -> Self {
        let areas = u64::try_from(handoff.scratch.len()).unwrap_or(u64::MAX);
        Self {
            fdt: handoff.fdt,
            fdt_bytes: u64::try_from(page_size.bytes()).unwrap_or(u64::MAX),
            scratch,
            scratch_bytes: areas.saturating_mul(16),
        }
    }

    /// The node for the list `setup_data`, in front of the node at `next` (0: none); 48 bytes.
    pub fn to_setup_data(&self, next: PhysAddr) -> Vec<u8> {
        let data = KhoData {
            fdt_addr: self.fdt.0,
            fdt_size: self.fdt_bytes,
            scratch_addr: self.scratch.0,
            scratch_size: self.scratch_bytes,
        };
        let node = SetupData {
            next: next.0,
            kind: SetupType::KEXEC_KHO,
            len: u32::try_from(size_of::<KhoData>()).unwrap_or(u32::MAX),
        };
        let mut bytes = node.as_bytes().to_vec();
        bytes.extend_from_slice(data.as_bytes());
        bytes
    }

    /// Looks through the list `setup_data` from its first node on; `None` when it has none for a
    /// handover.
    ///
    /// # Errors
    /// [`LocationError`].
    pub fn in_setup_data(
        mem: &impl PhysMem,
        first: PhysAddr,
    ) -> Result<Option<Self>, LocationError> {
        let mut seen = BTreeSet::new();
        let mut addr = first;
        while addr.0 != 0 {
            if !seen.insert(addr) {
                return Err(LocationError::Endless { addr });
            }
            let node: SetupData = mem.read_value(addr)?;
            if node.kind == SetupType::KEXEC_KHO {
                let len_bytes = node.len;
                if usize::try_from(len_bytes).is_ok_and(|len| len < size_of::<KhoData>()) {
                    return Err(LocationError::Short { addr, len_bytes });
                }
                let behind = PhysAddr(addr.0.saturating_add(16));
                let data: KhoData = mem.read_value(behind)?;
                return Ok(Some(data.into()));
            }
            addr = PhysAddr(node.next);
        }
        Ok(None)
    }

    /// The properties for `/chosen` of the next kernel's device tree: name and value, as cells of
    /// the root's `#address-cells` and `#size-cells`; `None` when these have no room.
    pub fn to_chosen(
        &self,
        address_cells: u32,
        size_cells: u32,
    ) -> Option<[(&'static str, Vec<u8>); 2]> {
        let value = |addr: PhysAddr, bytes: u64| {
            let mut value = cells(addr.0, address_cells)?;
            value.extend(cells(bytes, size_cells)?);
            Some(value)
        };
        Some([
            (CHOSEN_FDT_PROP_NAME, value(self.fdt, self.fdt_bytes)?),
            (
                CHOSEN_SCRATCH_PROP_NAME,
                value(self.scratch, self.scratch_bytes)?,
            ),
        ])
    }

    /// Reads `/chosen` of a device tree; `None` when it has no handover: a property that is
    /// missing, or has not exactly one entry, is ignored by the kernel, and both with it.
    ///
    /// # Errors
    /// [`LocationError::Fdt`].
    pub fn in_chosen(device_tree: &[u8]) -> Result<Option<Self>, LocationError> {
        let tree = fdt::read(device_tree)?;
        let root = tree.root();
        let count = |name| {
            let property = root.property(name)?;
            Some(u32::from_be_bytes(property.value().try_into().ok()?))
        };
        // Defaults of the kernel: `dt_root_addr_cells`, `dt_root_size_cells`.
        let address_cells = count("#address-cells").unwrap_or(1);
        let size_cells = count("#size-cells").unwrap_or(1);
        let Some(chosen) = root.child("chosen") else {
            return Ok(None);
        };
        let range = |name| {
            let property = chosen.property(name)?;
            one_range(property.value(), address_cells, size_cells)
        };
        let found = range(CHOSEN_FDT_PROP_NAME).zip(range(CHOSEN_SCRATCH_PROP_NAME));
        Ok(
            found.map(|((fdt, fdt_bytes), (scratch, scratch_bytes))| Self {
                fdt: PhysAddr(fdt),
                fdt_bytes,
                scratch: PhysAddr(scratch),
                scratch_bytes,
            }),
        )
    }

    /// Reads the scratch areas as well: all that [`crate::Kho::start`] wants.
    ///
    /// # Errors
    /// [`LocationError::Memory`], [`LocationError::Scratch`].
    pub fn handoff(&self, mem: &impl PhysMem) -> Result<Handoff, LocationError> {
        let bytes = self.scratch_bytes;
        let length = usize::try_from(bytes)
            .ok()
            .filter(|_| bytes <= MAX_SCRATCH_BYTES);
        let mut array = alloc::vec![0; length.ok_or(LocationError::Scratch { bytes })?];
        mem.read(self.scratch, &mut array)?;
        Ok(Handoff {
            fdt: self.fdt,
            scratch: ScratchAreas::read(&array).areas().to_vec(),
        })
    }
}

impl From<KhoData> for Location {
    fn from(data: KhoData) -> Self {
        Self {
            fdt: PhysAddr(data.fdt_addr),
            fdt_bytes: data.fdt_size,
            scratch: PhysAddr(data.scratch_addr),
            scratch_bytes: data.scratch_size,
        }
    }
}

/// A number as one or two big-endian cells.
fn cells(value: u64, count: u32) -> Option<Vec<u8>> {
    match count {
        1 => Some(u32::try_from(value).ok()?.to_be_bytes().to_vec()),
        2 => Some(value.to_be_bytes().to_vec()),
        _ => None,
    }
}

/// Address and size, when the value is exactly one such entry.
fn one_range(value: &[u8], address_cells: u32, size_cells: u32) -> Option<(u64, u64)> {
    let address_bytes = usize::try_from(address_cells.checked_mul(4)?).ok()?;
    let (address, size) = value.split_at_checked(address_bytes)?;
    let size_bytes = usize::try_from(size_cells.checked_mul(4)?).ok()?;
    (size.len() == size_bytes).then_some((number(address)?, number(size)?))
}

fn number(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        4 => Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(u64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdt::{Layout, Node};
    use crate::mem::PhysMemMut as _;
    use crate::sparse::SparseMemory;

    /// Seen on Linux 7.3.4.
    const SEEN: Location = Location {
        fdt: PhysAddr(0x5c_c000),
        fdt_bytes: 0x1000,
        scratch: PhysAddr(0x1ebf_0000),
        scratch_bytes: 48,
    };

    fn memory() -> SparseMemory {
        let ram = 0x1000..0x2000_0000;
        SparseMemory::new(PageSize::Size4K, core::slice::from_ref(&ram))
    }

    #[test]
    fn the_node_is_found_wherever_it_is_in_the_list() {
        let node = SEEN.to_setup_data(PhysAddr(0));
        assert_eq!(node.len(), 48);
        assert_eq!(node[8..16], [10, 0, 0, 0, 32, 0, 0, 0]);
        let mut mem = memory();
        mem.write(PhysAddr(0x3000), &node).unwrap();
        for (at, next) in [(0x1000_u64, 0x2000_u64), (0x2000, 0x3000)] {
            // Seeds of the random number generator.
            mem.write_value(PhysAddr(at), &[next, 9]).unwrap();
        }
        assert_eq!(
            Location::in_setup_data(&mem, PhysAddr(0x1000)),
            Ok(Some(SEEN))
        );
        assert_eq!(Location::in_setup_data(&mem, PhysAddr(0)), Ok(None));
    }

    #[test]
    fn a_list_without_an_end_and_one_outside_of_memory_are_errors() {
        let mut mem = memory();
        mem.write_value(PhysAddr(0x1000), &[0x2000_u64, 9]).unwrap();
        mem.write_value(PhysAddr(0x2000), &[0x1000_u64, 9]).unwrap();
        let addr = PhysAddr(0x1000);
        let endless = LocationError::Endless { addr };
        assert_eq!(Location::in_setup_data(&mem, addr), Err(endless));
        mem.write_value(addr, &[u64::MAX - 3, 9]).unwrap();
        assert!(matches!(
            Location::in_setup_data(&mem, addr),
            Err(LocationError::Memory(_))
        ));
        let short = (31_u64 << 32) | 10;
        mem.write_value(addr, &[0, short]).unwrap();
        let error = LocationError::Short {
            addr,
            len_bytes: 31,
        };
        assert_eq!(Location::in_setup_data(&mem, addr), Err(error));
    }

    fn tree(cells: Option<(u32, u32)>, properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut chosen = Node::new("chosen");
        for (name, value) in properties {
            chosen = chosen.with(name, value);
        }
        let mut root = Node::new("");
        if let Some((address, size)) = cells {
            root = root
                .with("#address-cells", &address.to_be_bytes())
                .with("#size-cells", &size.to_be_bytes());
        }
        root.children.push(chosen);
        root.to_fdt(&[], Layout::Packed)
    }

    #[test]
    fn chosen_is_read_as_it_is_written_with_the_cells_of_the_root() {
        for (address, size) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
            let properties = SEEN.to_chosen(address, size).unwrap();
            let tree = tree(Some((address, size)), &properties);
            assert_eq!(
                Location::in_chosen(&tree),
                Ok(Some(SEEN)),
                "{address} {size}"
            );
        }
        // One cell each is what a root without a word means.
        let properties = SEEN.to_chosen(1, 1).unwrap();
        assert_eq!(
            Location::in_chosen(&tree(None, &properties)),
            Ok(Some(SEEN))
        );
        assert_eq!(SEEN.to_chosen(3, 1), None);
    }

    #[test]
    fn two_entries_or_one_property_are_no_handover() {
        let [fdt, scratch] = SEEN.to_chosen(2, 2).unwrap();
        let alone = tree(Some((2, 2)), core::slice::from_ref(&fdt));
        assert_eq!(Location::in_chosen(&alone), Ok(None));
        let twice = (scratch.0, [scratch.1.clone(), scratch.1].concat());
        assert_eq!(
            Location::in_chosen(&tree(Some((2, 2)), &[fdt, twice])),
            Ok(None)
        );
    }

    #[test]
    fn scratch_is_read_when_it_can_be_believed() {
        let mut mem = memory();
        let area = |addr, bytes| crate::Area {
            addr: PhysAddr(addr),
            bytes,
        };
        let areas = ScratchAreas::new([area(0x1a80_0000, 0x440_0000), area(0x1f80_0000, 0)].into());
        mem.write(PhysAddr(0x1ebf_0000), &areas.to_bytes()).unwrap();
        let location = Location {
            scratch_bytes: 32,
            ..SEEN
        };
        let handoff = location.handoff(&mem).unwrap();
        assert_eq!((handoff.fdt, &*handoff.scratch), (SEEN.fdt, areas.areas()));
        let again = Location::new(&handoff, location.scratch, PageSize::Size4K);
        assert_eq!(again, location);
        let bytes = 1 << 30;
        let huge = Location {
            scratch_bytes: bytes,
            ..SEEN
        };
        assert_eq!(huge.handoff(&mem), Err(LocationError::Scratch { bytes }));
    }
}
