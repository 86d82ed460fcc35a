//! The kernel's own way, which is slow: what the indexes are compared with.
//!
//! For each question the kernel reads the whole symbol table of a module (`find_kallsyms_symbol`,
//! `module_kallsyms_on_each_symbol`, `kernel/module/kallsyms.c`, v7.3). Nothing here uses a [`Table`](crate::Table).

use alloc::vec::Vec;

use crate::elf::RawSymbol;
use crate::module::{Module, Phase};
use crate::name::is_mapping_symbol;
use crate::region::Region;

/// The symbol table that the kernel keeps of a module.
#[derive(Clone, Debug)]
pub struct LinearScan<'d> {
    symbols: Vec<Kept>,
    strings: &'d [u8],
    regions: Vec<Region>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    /// Number in the file.
    index: u32,
    name: u32,
    is_undefined: bool,
    value: u64,
}

/// What the kernel answers for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Number of the symbol in the file.
    pub index: u32,
    /// Its address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
}

impl<'d> LinearScan<'d> {
    /// The table of a module that is laid out from `base` on, as [`Module::table`] does.
    #[must_use]
    pub fn new(module: &Module<'d>, base: u64, phase: Phase) -> Self {
        let placement = module.simulated(base);
        let keep = |(index, symbol): (usize, RawSymbol)| {
            let is_kept = index == 0 || phase == Phase::Loading || module.is_core(symbol);
            is_kept.then(|| Kept {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                name: symbol.name,
                is_undefined: symbol.is_undefined(),
                value: module.address(symbol, &placement),
            })
        };
        Self {
            symbols: module
                .elf
                .raw_symbols()
                .enumerate()
                .filter_map(keep)
                .collect(),
            strings: module.elf.strings,
            regions: module.regions(&placement, phase),
        }
    }

    /// The nearest symbol not above an address, in the region of that address.
    #[must_use]
    pub fn find(&self, addr: u64) -> Option<Nearest> {
        let region = self.regions.iter().find(|region| region.contains(addr))?;
        let mut best: Option<(u32, u64)> = None;
        let mut next = region.end;
        for symbol in self.symbols.iter().skip(1) {
            if symbol.is_undefined {
                continue;
            }
            let name = self.rest(symbol.name);
            if matches!(name, [] | [0, ..]) || is_mapping_symbol(name) {
                continue;
            }
            let is_better = match best {
                Some((_, best)) => symbol.value > best,
                None => symbol.value >= region.start,
            };
            if symbol.value <= addr && is_better {
                best = Some((symbol.index, symbol.value));
            }
            if symbol.value > addr && symbol.value < next {
                next = symbol.value;
            }
        }
        let (index, start) = best?;
        Some(Nearest {
            index,
            start,
            end: next,
        })
    }

    /// The symbol that livepatch takes for a name and position, and how many it has counted until then.
    #[must_use]
    pub fn sympos(&self, name: &[u8], position: u64) -> (Option<u32>, u64) {
        let mut count = 0_u64;
        let mut found = None;
        for symbol in self.symbols.iter().filter(|symbol| !symbol.is_undefined) {
            let is_same = self
                .rest(symbol.name)
                .strip_prefix(name)
                .and_then(<[u8]>::first)
                == Some(&0);
            if !is_same {
                continue;
            }
            count = count.saturating_add(1);
            found = Some(symbol.index);
            if count == position || (position == 0 && count > 1) {
                break;
            }
        }
        let is_it = if position == 0 {
            count == 1
        } else {
            count == position
        };
        (found.filter(|_| is_it), count)
    }

    fn rest(&self, name: u32) -> &'d [u8] {
        let rest = usize::try_from(name)
            .ok()
            .and_then(|name| self.strings.get(name..));
        rest.unwrap_or_default()
    }
}
