//! Makes tables.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::address_index::{
    AddressIndex, Key, LONG, MAXIMUM_SYMBOLS, Maker, NamePlace, PLACES_END,
};
use crate::key_sort;
use crate::kind::Kind;
use crate::name::{Ending, is_mapping_symbol};
use crate::object::ObjectKind;
use crate::region::{End, Region, page_end};
use crate::table::{ObjectEntry, Run, Table, TableEntry};

/// Symbols that livepatch modules have for those of other objects: no address is in them.
const KLP_SYMBOL: &[u8] = b".klp.sym.";

/// What symbols are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Text,
    Elf,
}

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Builder<'d> {
    table: Table<'d>,
    /// How long the names of symbols are, or [`LONG`].
    lengths: Vec<u8>,
    /// Symbols that an address can be in.
    keys: Vec<Key>,
    /// Regions that are known, by object.
    regions: Vec<(u32, Region)>,
    /// What symbols are added to.
    object: u32,
    is_module: bool,
}

impl<'d> Builder<'d> {
    /// Of names that end like this.
    pub(crate) fn new(ending: Ending, capacity: usize) -> Self {
        let table = Table {
            text: Cow::Borrowed(&[]),
            ending,
            names: Vec::with_capacity(capacity),
            entries: Vec::new(),
            objects: Vec::new(),
            runs: Vec::new(),
            by_address: AddressIndex::default(),
            by_name: None,
        };
        Self {
            table,
            lengths: Vec::with_capacity(capacity),
            keys: Vec::with_capacity(capacity),
            regions: Vec::new(),
            object: 0,
            is_module: false,
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
        let first = u32::try_from(self.table.names.len()).unwrap_or(u32::MAX);
        let found = usize::try_from(object)
            .ok()
            .and_then(|at| self.table.objects.get(at));
        self.is_module = found.is_some_and(|it| it.kind != ObjectKind::Vmlinux);
        self.object = object;
        self.table.runs.push(Run { first, object });
    }

    /// Says that an object has this memory, which may be none. An object of which no region is known may be anywhere.
    pub(crate) fn region(&mut self, object: u32, region: Region) {
        if region.start <= region.end {
            self.regions.push((object, region));
        }
    }

    /// Adds a symbol of the object begun last, whose name starts at `name_at` in the text. Whether there was room for it.
    ///
    /// Of livepatch symbols text has the addresses that they were resolved to, in other objects: these are no places.
    #[inline]
    pub(crate) fn push_line(&mut self, addr: u64, kind: Kind, name_at: u32, name: &[u8]) -> bool {
        self.add(TableEntry { addr, kind }, name_at, name, Origin::Text)
    }

    /// The same for a symbol whose address and kind the text does not say. All symbols of a table are added in one way.
    pub(crate) fn push(&mut self, entry: TableEntry, name_at: u32, name: &[u8]) -> bool {
        self.table.entries.push(entry);
        self.add(entry, name_at, name, Origin::Elf)
    }

    #[inline]
    fn add(&mut self, entry: TableEntry, name_at: u32, name: &[u8], origin: Origin) -> bool {
        let table = &mut self.table;
        let index = u32::try_from(table.names.len()).unwrap_or(u32::MAX);
        if index >= MAXIMUM_SYMBOLS || name_at >= PLACES_END {
            return false;
        }
        table.names.push(name_at);
        self.lengths.push(u8::try_from(name.len()).unwrap_or(LONG));
        let TableEntry { addr, kind } = entry;
        let is_elsewhere =
            origin == Origin::Text && kind.letter() == '?' && name.starts_with(KLP_SYMBOL);
        if kind.is_counted() && !is_elsewhere && (!self.is_module || is_place(name)) {
            self.keys.push(Key::symbol(addr, index, self.object, kind));
        }
        true
    }

    /// Makes the index of addresses; the names are in `text`.
    pub(crate) fn finish(mut self, text: Cow<'d, [u8]>) -> Table<'d> {
        self.table.text = text;
        merge(&mut self.regions);
        let keys = self.sorted_keys();
        self.table.by_address = self.index(&keys);
        let table = &mut self.table;
        table.names.shrink_to_fit();
        table.entries.shrink_to_fit();
        self.table
    }

    /// Every symbol that an address can be in, and every region, by address.
    fn sorted_keys(&mut self) -> Vec<Key> {
        let mut keys = core::mem::take(&mut self.keys);
        let (mut object, mut regions) = (u32::MAX, &[][..]);
        keys.retain(|key| {
            if key.object() != object {
                object = key.object();
                regions = self.regions_of(object);
            }
            match regions {
                [] => !key.is_absolute(),
                regions => regions.iter().any(|(_, region)| region.contains(key.addr)),
            }
        });
        let marks = self
            .regions
            .iter()
            .flat_map(|(_, region)| [region.start, region.end]);
        keys.extend(marks.map(Key::mark));
        key_sort::sort(&mut keys);
        keys
    }

    fn regions_of(&self, object: u32) -> &[(u32, Region)] {
        let first = self.regions.partition_point(|(of, _)| *of < object);
        let regions = self.regions.get(first..).unwrap_or_default();
        let count = regions.partition_point(|(of, _)| *of == object);
        regions.get(..count).unwrap_or_default()
    }

    fn index(&self, keys: &[Key]) -> AddressIndex {
        let mut index = Maker::with_capacity(keys.len());
        let mut keys = keys;
        while let Some(first) = keys.first() {
            let addr = first.addr;
            let same = keys.iter().take_while(|key| key.addr == addr).count();
            let Some((same, rest)) = keys.split_at_checked(same) else {
                break;
            };
            keys = rest;
            if first.index().is_none() {
                index.mark(addr, End::Region);
            }
            // Of symbols at one address the kernel finds the first of the table, and the index the last one it is given.
            for key in same.iter().rev() {
                if let Some(number) = key.index() {
                    index.symbol(addr, number, self.name_place(number));
                }
            }
            let (last, next) = (same.last(), rest.first());
            let end = page_end(addr);
            if let Some(&last) = last.filter(|last| last.index().is_some())
                && next.is_none_or(|next| end < next.addr)
                && self.is_last(last, next)
            {
                index.mark(end, End::Page);
            }
        }
        index.finish()
    }

    #[inline]
    fn name_place(&self, number: u32) -> NamePlace {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let place = self.table.names.get(number);
        NamePlace {
            at: place.copied().unwrap_or(0),
            length: self.lengths.get(number).copied().unwrap_or(LONG),
        }
    }

    /// Whether what follows a symbol may be in another region, of which nothing is known.
    fn is_last(&self, key: Key, next: Option<&Key>) -> bool {
        let is_other = |next: &Key| {
            next.index().is_none()
                || next.object() != key.object()
                || next.is_text() != key.is_text()
        };
        next.is_none_or(is_other) && self.regions_of(key.object()).is_empty()
    }
}

/// Whether the name of a module's symbol is one that the kernel looks addresses up by.
#[inline]
fn is_place(name: &[u8]) -> bool {
    !name.is_empty() && !is_mapping_symbol(name)
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
