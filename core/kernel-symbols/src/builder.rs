//! Makes tables.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::address_index::{AddressIndex, Key, MAXIMUM_SYMBOLS};
use crate::kind::Kind;
use crate::name::{Ending, is_mapping_symbol};
use crate::object::ObjectKind;
use crate::region::{End, Region, page_end};
use crate::table::{ObjectEntry, Run, Table};

/// Symbols that livepatch modules have for those of other objects: no address is in them.
const KLP_SYMBOL: &[u8] = b".klp.sym.";

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Builder<'d> {
    table: Table<'d>,
    /// Regions that are known, by object.
    regions: Vec<(u32, Region)>,
}

impl<'d> Builder<'d> {
    /// Of names that end like this.
    pub(crate) fn new(ending: Ending, capacity: usize) -> Self {
        let table = Table {
            text: Cow::Borrowed(&[]),
            ending,
            addrs: Vec::with_capacity(capacity),
            names: Vec::with_capacity(capacity),
            kinds: Vec::with_capacity(capacity),
            objects: Vec::new(),
            runs: Vec::new(),
            by_address: AddressIndex::default(),
            by_name: None,
        };
        Self {
            table,
            regions: Vec::new(),
        }
    }

    /// Adds an object; its symbols are added under the number that is returned.
    pub(crate) fn object(&mut self, name: &[u8], kind: ObjectKind) -> u32 {
        let number = u32::try_from(self.table.objects.len()).unwrap_or(u32::MAX);
        let name = name.to_vec();
        self.table.objects.push(ObjectEntry { name, kind });
        number
    }

    /// Begins the symbols of an object.
    pub(crate) fn begin(&mut self, object: u32) {
        let first = u32::try_from(self.table.addrs.len()).unwrap_or(u32::MAX);
        self.table.runs.push(Run { first, object });
    }

    /// Says that an object has this memory. An object of which no region is known has any.
    pub(crate) fn region(&mut self, object: u32, region: Region) {
        if region.start < region.end {
            self.regions.push((object, region));
        }
    }

    /// Adds a symbol of the object begun last, whose name starts at `name` in the text. Whether there was room for it.
    pub(crate) fn push(&mut self, addr: u64, kind: Kind, name: u32) -> bool {
        let table = &mut self.table;
        let is_room = u32::try_from(table.addrs.len()).is_ok_and(|count| count < MAXIMUM_SYMBOLS);
        if is_room {
            table.addrs.push(addr);
            table.kinds.push(kind);
            table.names.push(name);
        }
        is_room
    }

    /// Makes the index of addresses; the names are in `text`.
    pub(crate) fn finish(mut self, text: Cow<'d, [u8]>) -> Table<'d> {
        self.table.text = text;
        merge(&mut self.regions);
        let keys = self.keys();
        self.table.by_address = self.index(&keys);
        let table = &mut self.table;
        table.addrs.shrink_to_fit();
        table.kinds.shrink_to_fit();
        table.names.shrink_to_fit();
        self.table
    }

    /// Sorted addresses of every symbol that an address can be in, and of every region.
    fn keys(&self) -> Vec<Key> {
        let table = &self.table;
        let mut keys = Vec::with_capacity(table.addrs.len());
        for (_, region) in &self.regions {
            keys.extend([Key::mark(region.start), Key::mark(region.end)]);
        }
        let ends = table.runs.iter().skip(1).map(|run| run.first);
        for (run, end) in table.runs.iter().zip(ends.chain([u32::MAX])) {
            let first = self
                .regions
                .partition_point(|(object, _)| *object < run.object);
            let regions = self.regions.get(first..).unwrap_or_default();
            let count = regions.partition_point(|(object, _)| *object == run.object);
            let regions = regions.get(..count).unwrap_or_default();
            let count = u32::try_from(table.addrs.len()).unwrap_or(u32::MAX);
            let skip = usize::try_from(run.first).unwrap_or(usize::MAX);
            let symbols = table.addrs.iter().zip(&table.kinds).skip(skip);
            for (index, (&addr, kind)) in (run.first..end.min(count)).zip(symbols) {
                let has_place = match regions {
                    [] => !kind.is_absolute(),
                    regions => regions.iter().any(|(_, region)| region.contains(addr)),
                };
                if kind.is_counted() && has_place && self.is_place(run.object, index) {
                    keys.push(Key::symbol(addr, index, run.object));
                }
            }
        }
        // Most of them are sorted, in runs; this sort makes use of it.
        keys.sort();
        keys
    }

    /// Whether the name of a symbol is one that the kernel looks addresses up by.
    fn is_place(&self, object: u32, index: u32) -> bool {
        let table = &self.table;
        let object = usize::try_from(object)
            .ok()
            .and_then(|at| table.objects.get(at));
        if object.is_none_or(|object| object.kind == ObjectKind::Vmlinux) {
            return true;
        }
        let start = usize::try_from(index)
            .ok()
            .and_then(|at| table.names.get(at));
        let rest = start.and_then(|&start| table.text.get(usize::try_from(start).ok()?..));
        let rest = rest.unwrap_or_default();
        let is_empty = table.ending.length(rest.get(..1).unwrap_or_default()) == 0;
        !is_empty && !is_mapping_symbol(rest) && !rest.starts_with(KLP_SYMBOL)
    }

    fn index(&self, keys: &[Key]) -> AddressIndex {
        let mut index = AddressIndex::with_capacity(keys.len());
        let mut last_mark = None;
        for (at, key) in keys.iter().enumerate() {
            let Some(symbol) = key.index() else {
                if last_mark.replace(key.addr) != Some(key.addr) {
                    index.push_mark(key.addr, End::Region);
                }
                continue;
            };
            index.push_symbol(key.addr, symbol);
            let next = keys.get(at.saturating_add(1));
            let end = page_end(key.addr);
            if next.is_none_or(|next| end < next.addr) && self.is_last(*key, next) {
                index.push_mark(end, End::Page);
            }
        }
        index.shrink();
        index
    }

    /// Whether what follows a symbol may be in another region, of which nothing is known.
    fn is_last(&self, key: Key, next: Option<&Key>) -> bool {
        if self
            .regions
            .binary_search_by_key(&key.object, |(object, _)| *object)
            .is_ok()
        {
            return false;
        }
        let is_text = |key: Key| {
            let kind = key
                .index()
                .and_then(|it| self.table.kinds.get(usize::try_from(it).ok()?));
            kind.is_some_and(|kind| kind.is_text() || kind.is_weak())
        };
        next.is_none_or(|next| {
            next.index().is_none() || next.object != key.object || is_text(*next) != is_text(key)
        })
    }
}

/// Sorts regions by object, and makes one of those that overlap. Those that only touch are two pieces of memory: no symbol
/// reaches from one to the other.
fn merge(regions: &mut Vec<(u32, Region)>) {
    regions.sort_unstable();
    regions.dedup_by(|(object, next), (last_object, last)| {
        let is_one = object == last_object && next.start < last.end;
        if is_one {
            last.end = last.end.max(next.end);
        }
        is_one
    });
}
