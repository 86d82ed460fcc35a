//! Which of several equally named symbols one is, as the livepatch core counts them.
//!
//! The core walks the symbols of an object in their order and counts those of a name from 1 (`kernel/livepatch/core.c`,
//! v7.3); 0 means that there must be one only. In the kernel that order is the order of addresses in `kallsyms`, which
//! the last link decides: [`SymbolPositions`] is where an answer comes from.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use elf_index::{Object, Section, SymbolId};

/// Section of `vmlinux.o` and of the linked kernel with an entry for each local symbol whose name is not unique: a
/// number, the same in both, and the address, which the last link fills in.
const SYMID: &str = ".klp.symid";

/// Tells positions of symbols.
pub trait SymbolPositions {
    /// The position of a symbol of the patched object, before the change; `None` when it cannot be told.
    fn position(&self, symbol: SymbolId) -> Option<u64>;
}

/// Positions in a module: its symbols keep their order.
#[derive(Debug)]
pub struct InModule<'o, 'd>(pub &'o Object<'d>);

impl SymbolPositions for InModule<'_, '_> {
    fn position(&self, symbol: SymbolId) -> Option<u64> {
        let name = self.0.symbol(symbol)?.name;
        let same = self
            .0
            .symbols_with_ids()
            .filter(|(_, other)| other.name == name && other.place.section().is_some());
        let ids: Vec<SymbolId> = same.map(|(id, _)| id).collect();
        rank(&ids, &symbol)
    }
}

/// Positions in the kernel, from `vmlinux.o` and the kernel linked from it.
#[derive(Debug)]
pub struct InVmlinux<'o, 'd> {
    object: &'o Object<'d>,
    /// Addresses by name, ascending.
    addresses: BTreeMap<&'d str, Vec<u64>>,
    /// Address in the linked kernel of each symbol with an entry.
    address_of: BTreeMap<SymbolId, u64>,
}

impl<'o, 'd> InVmlinux<'o, 'd> {
    /// Joins the two files.
    #[must_use]
    pub fn new(object: &'o Object<'d>, linked: &Object<'d>) -> Self {
        let mut addresses: BTreeMap<&'d str, Vec<u64>> = BTreeMap::new();
        for symbol in linked.symbols() {
            let is_alloc = linked
                .section_of(symbol)
                .is_some_and(|section| section.is_alloc());
            if is_alloc && !symbol.is_section() && !symbol.is_file() {
                addresses.entry(symbol.name).or_default().push(symbol.value);
            }
        }
        for values in addresses.values_mut() {
            values.sort_unstable();
        }
        Self {
            object,
            addresses,
            address_of: addresses_by_symbol(object, linked),
        }
    }
}

/// Joins the entries of both files by their numbers.
fn addresses_by_symbol(object: &Object<'_>, linked: &Object<'_>) -> BTreeMap<SymbolId, u64> {
    let sections = (object.section_named(SYMID), linked.section_named(SYMID));
    let (Some((id, unresolved)), Some((_, resolved))) = sections else {
        return BTreeMap::new();
    };
    let number = |section: &Section<'_>, offset: u64| {
        let bytes = section.bytes(offset, 8)?;
        Some(u64::from_le_bytes(*bytes.first_chunk()?))
    };
    let starts = (0..resolved.size).step_by(16);
    let address_of: BTreeMap<u64, u64> = starts
        .filter_map(|start| {
            let address = number(resolved, start.checked_add(8)?)?;
            Some((number(resolved, start)?, address))
        })
        .collect();
    let entries = object.relocs(id).iter().filter_map(|reloc| {
        let entry = number(unresolved, reloc.offset.checked_sub(8)?)?;
        Some((reloc.symbol, *address_of.get(&entry)?))
    });
    entries.collect()
}

impl SymbolPositions for InVmlinux<'_, '_> {
    fn position(&self, symbol: SymbolId) -> Option<u64> {
        let name = self.object.symbol(symbol)?.name;
        let addresses = self.addresses.get(name)?;
        match addresses.as_slice() {
            [_] => Some(0),
            several => rank(several, self.address_of.get(&symbol)?),
        }
    }
}

/// 0 for the only one, else the place from 1.
fn rank<T: PartialEq>(all: &[T], one: &T) -> Option<u64> {
    let at = all.iter().position(|other| other == one)?;
    if all.len() == 1 {
        return Some(0);
    }
    u64::try_from(at.checked_add(1)?).ok()
}
