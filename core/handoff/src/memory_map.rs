//! The machine's memory as its firmware tells it: e820.
//!
//! C: `struct boot_e820_entry`, `arch/x86/include/uapi/asm/setup_data.h`, and `e820_table` at 0x2d0
//! of `struct boot_params`, `arch/x86/include/uapi/asm/bootparam.h`; v7.2 and v7.3.

use alloc::vec::Vec;

use kho::PhysAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian};

use crate::boot_params::{E820_COUNT_OFFSET, E820_TABLE_OFFSET};
use crate::span::Span;

/// Entries that `boot_params` has room for (`E820_MAX_ENTRIES_ZEROPAGE`).
pub(crate) const MAX_ENTRIES: usize = 128;

/// What a range is for; unknown values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E820Kind(pub u32);

impl E820Kind {
    /// Memory to use.
    #[doc(alias = "E820_TYPE_RAM")]
    pub const RAM: Self = Self(1);
    /// Not to be touched.
    #[doc(alias = "E820_TYPE_RESERVED")]
    pub const RESERVED: Self = Self(2);
    /// ACPI tables; memory once they were read.
    #[doc(alias = "E820_TYPE_ACPI")]
    pub const ACPI: Self = Self(3);
    /// ACPI non-volatile storage.
    #[doc(alias = "E820_TYPE_NVS")]
    pub const NVS: Self = Self(4);
}

/// A range of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E820Entry {
    /// Its first byte.
    pub addr: PhysAddr,
    /// Its length.
    pub bytes: u64,
    /// What it is for.
    pub kind: E820Kind,
}

/// An entry as it is in `boot_params`; 20 bytes, packed.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct RawEntry {
    addr: little_endian::U64,
    size: little_endian::U64,
    kind: little_endian::U32,
}

/// Why a list of ranges is no map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// More entries than `boot_params` has room for.
    #[error("{found} ranges of memory; boot_params has room for {MAX_ENTRIES}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// A range goes over the end of the address space.
    #[error("the range at {addr} of {bytes} bytes ends past the address space")]
    Endless {
        /// Its first byte.
        addr: PhysAddr,
        /// Its length.
        bytes: u64,
    },
    /// A range that is memory and something else.
    #[error("the memory at {addr} is also said to be of type {}", kind.0)]
    Contradiction {
        /// First byte of the range of memory.
        addr: PhysAddr,
        /// What the other range says.
        kind: E820Kind,
    },
    /// There is no memory in it.
    #[error("no range of the map is memory")]
    NoRam,
    /// `boot_params` is too short.
    #[error("boot_params has {found_bytes} bytes, not 4096")]
    Truncated {
        /// Its length.
        found_bytes: usize,
    },
}

/// The ranges, in their order, and the memory among them, ascending and joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    entries: Vec<E820Entry>,
    ram: Vec<Span>,
}

impl MemoryMap {
    /// Checks a list of ranges.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn new(entries: Vec<E820Entry>) -> Result<Self, MapError> {
        if entries.len() > MAX_ENTRIES {
            return Err(MapError::TooMany {
                found: entries.len(),
            });
        }
        let mut ram = Vec::new();
        for entry in &entries {
            let E820Entry { addr, bytes, kind } = *entry;
            let span = Span::new(addr, bytes).ok_or(MapError::Endless { addr, bytes })?;
            if kind == E820Kind::RAM && bytes != 0 {
                ram.push(span);
            }
        }
        if ram.is_empty() {
            return Err(MapError::NoRam);
        }
        let ram = joined(ram);
        let others = entries.iter().filter(|entry| entry.kind != E820Kind::RAM);
        for entry in others {
            let Some(other) = Span::new(entry.addr, entry.bytes) else {
                continue;
            };
            if let Some(span) = ram.iter().find(|span| span.overlaps(other)) {
                return Err(MapError::Contradiction {
                    addr: PhysAddr(span.start),
                    kind: entry.kind,
                });
            }
        }
        Ok(Self { entries, ram })
    }

    /// Reads the table of a `struct boot_params`, as `/sys/kernel/boot_params/data` has it.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn from_boot_params(boot_params: &[u8]) -> Result<Self, MapError> {
        let truncated = MapError::Truncated {
            found_bytes: boot_params.len(),
        };
        let count = boot_params.get(E820_COUNT_OFFSET).ok_or(truncated)?;
        let table = boot_params.get(E820_TABLE_OFFSET..).ok_or(truncated)?;
        let count = usize::from(*count);
        if count > MAX_ENTRIES {
            return Err(MapError::TooMany { found: count });
        }
        let raw = <[RawEntry]>::ref_from_prefix_with_elems(table, count);
        // The error would only repeat the reason.
        let (raw, _) = raw.ok().ok_or(truncated)?;
        let entry = |raw: &RawEntry| E820Entry {
            addr: PhysAddr(raw.addr.get()),
            bytes: raw.size.get(),
            kind: E820Kind(raw.kind.get()),
        };
        Self::new(raw.iter().map(entry).collect())
    }

    /// The memory that QEMU's `q35` machine certainly has with `-m` of so many bytes: all of it but
    /// the first MiB, and the last below 4 GiB, where its firmware puts the ACPI tables.
    ///
    /// From 2.75 GiB on, what is above 2 GiB lies at 4 GiB and above (`pc_q35_init`,
    /// `hw/i386/pc_q35.c`, QEMU 6.2 and 7.2).
    ///
    /// # Errors
    /// [`MapError::NoRam`] for 2 MiB or less.
    pub fn qemu_q35(memory_bytes: u64) -> Result<Self, MapError> {
        const MIB: u64 = 1 << 20;
        const SPLIT: u64 = 0xb000_0000;
        const LOW: u64 = 0x8000_0000;
        let low = if memory_bytes >= SPLIT {
            LOW
        } else {
            memory_bytes
        };
        let range = |start: u64, end: u64, kind| E820Entry {
            addr: PhysAddr(start),
            bytes: end.saturating_sub(start),
            kind,
        };
        let low_end = low.saturating_sub(MIB);
        let mut entries = Vec::from([
            range(0, 0x9_fc00, E820Kind::RAM),
            range(0x9_fc00, 0xa_0000, E820Kind::RESERVED),
            range(0xf_0000, 0x10_0000, E820Kind::RESERVED),
        ]);
        if low_end <= MIB {
            return Err(MapError::NoRam);
        }
        entries.push(range(MIB, low_end, E820Kind::RAM));
        entries.push(range(low_end, low, E820Kind::RESERVED));
        let high = memory_bytes.saturating_sub(low);
        if high != 0 {
            let start = 1 << 32;
            let end = high.saturating_add(start);
            entries.push(range(start, end, E820Kind::RAM));
        }
        Self::new(entries)
    }

    /// The ranges, in their order.
    pub fn entries(&self) -> &[E820Entry] {
        &self.entries
    }

    /// The memory: address and bytes, ascending, not touching.
    pub fn ram(&self) -> impl Iterator<Item = (PhysAddr, u64)> {
        let range = |span: &Span| (PhysAddr(span.start), span.bytes());
        self.ram.iter().map(range)
    }

    /// Bytes of memory.
    pub fn ram_bytes(&self) -> u64 {
        self.ram()
            .fold(0_u64, |sum, (_, bytes)| sum.saturating_add(bytes))
    }

    /// Whether every byte of it is memory.
    pub(crate) fn is_ram(&self, span: Span) -> bool {
        self.ram.iter().any(|ram| ram.contains(span))
    }

    /// The table as `boot_params` has it.
    pub(crate) fn to_table(&self) -> Vec<u8> {
        let raw = |entry: &E820Entry| RawEntry {
            addr: entry.addr.0.into(),
            size: entry.bytes.into(),
            kind: entry.kind.0.into(),
        };
        let entries = self.entries.iter().map(raw);
        entries
            .flat_map(|entry| entry.as_bytes().to_vec())
            .collect()
    }
}

/// Sorts ranges and joins those that touch.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => all.push(span),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn entry(addr: u64, bytes: u64, kind: E820Kind) -> E820Entry {
        E820Entry {
            addr: PhysAddr(addr),
            bytes,
            kind,
        }
    }

    #[test]
    fn touching_memory_is_one_range_and_order_is_kept() {
        let entries = vec![
            entry(0x2000, 0x1000, E820Kind::RAM),
            entry(0x1000, 0x1000, E820Kind::RAM),
            entry(0x8000, 0x1000, E820Kind(77)),
        ];
        let map = MemoryMap::new(entries.clone()).unwrap();
        assert_eq!(map.entries(), entries);
        assert_eq!(map.ram().collect::<Vec<_>>(), [(PhysAddr(0x1000), 0x2000)]);
    }

    #[test]
    fn the_table_of_boot_params_comes_back_as_it_went_in() {
        let map = MemoryMap::qemu_q35(6 << 30).unwrap();
        let mut boot_params = vec![0; 4096];
        boot_params[0x1e8] = u8::try_from(map.entries().len()).unwrap();
        let table = map.to_table();
        boot_params[0x2d0..0x2d0 + table.len()].copy_from_slice(&table);
        assert_eq!(MemoryMap::from_boot_params(&boot_params), Ok(map));
        assert_eq!(
            MemoryMap::from_boot_params(&boot_params[..0x2d4]),
            Err(MapError::Truncated { found_bytes: 0x2d4 })
        );
    }

    #[test]
    fn memory_of_q35_splits_at_2_gib() {
        let ram = |bytes| MemoryMap::qemu_q35(bytes).unwrap().ram;
        let last = |bytes| *ram(bytes).last().unwrap();
        let (start, end) = (1 << 20, (1 << 30) - (1 << 20));
        assert_eq!(last(1 << 30), Span { start, end });
        let (start, end) = (1 << 32, (1 << 32) + (4 << 30));
        assert_eq!(last(6 << 30), Span { start, end });
        assert_eq!(MemoryMap::qemu_q35(2 << 20), Err(MapError::NoRam));
    }

    #[test]
    fn a_map_that_contradicts_itself_is_refused() {
        let ram = entry(0x1000, 0x2000, E820Kind::RAM);
        assert_eq!(
            MemoryMap::new(vec![ram, entry(0x2000, 1, E820Kind::NVS)]),
            Err(MapError::Contradiction {
                addr: PhysAddr(0x1000),
                kind: E820Kind::NVS
            })
        );
        assert_eq!(
            MemoryMap::new(vec![ram; 129]),
            Err(MapError::TooMany { found: 129 })
        );
        let endless = entry(u64::MAX, 2, E820Kind::RAM);
        assert!(matches!(
            MemoryMap::new(vec![endless]),
            Err(MapError::Endless { .. })
        ));
    }
}
