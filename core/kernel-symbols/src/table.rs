//! The table.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::address_index::{AddressIndex, Entry};
use crate::kind::Kind;
use crate::name::{Ending, Name};
use crate::name_index::NameIndex;
use crate::object::{Object, ObjectKind, VMLINUX};
use crate::symbol::{Found, Symbol};

/// Symbols of one or more objects, in the order of the kernel, with indexes beside it.
///
/// Takes 17.6 bytes for each symbol, and the text that the names are in; see [`Table::memory_use`].
#[derive(Clone, Debug)]
pub struct Table<'d> {
    pub(crate) text: Cow<'d, [u8]>,
    pub(crate) ending: Ending,
    pub(crate) addrs: Vec<u64>,
    /// Where in `text` names start.
    pub(crate) names: Vec<u32>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) objects: Vec<ObjectEntry>,
    /// From which symbol on which object; ascending, the first at 0.
    pub(crate) runs: Vec<Run>,
    pub(crate) by_address: AddressIndex,
    pub(crate) by_name: Option<NameIndex>,
}

/// An object of a table.
#[derive(Clone, Debug)]
pub(crate) struct ObjectEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: ObjectKind,
}

/// Symbols that follow each other and belong to one object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) object: u32,
}

/// Bytes of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Symbols.
    pub symbols: usize,
    /// Text that names are in: the file as it was read.
    pub text_bytes: usize,
    /// Addresses, names, kinds, objects and the index of addresses.
    pub table_bytes: usize,
    /// The index of names, when there is one.
    pub name_index_bytes: usize,
}

impl<'d> Table<'d> {
    /// Number of symbols.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.addrs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.addrs.is_empty()
    }

    fn count(&self) -> u32 {
        u32::try_from(self.addrs.len()).unwrap_or(u32::MAX)
    }

    /// The symbol of a number in the untouched table.
    #[must_use]
    pub fn symbol(&self, index: u32) -> Option<Symbol<'_>> {
        (index < self.count()).then_some(Symbol::new(self, index))
    }

    /// Every symbol in the order of the table, those that the kernel passes over too.
    pub fn symbols(&self) -> impl DoubleEndedIterator<Item = Symbol<'_>> {
        (0..self.count()).map(|index| Symbol::new(self, index))
    }

    /// Every object.
    pub fn objects(&self) -> impl Iterator<Item = Object<'_>> {
        self.objects.iter().map(ObjectEntry::view)
    }

    /// The symbol that an address is in: the nearest not above it, in the same region.
    #[must_use]
    pub fn lookup(&self, addr: u64) -> Option<Found<'_>> {
        let position = self.by_address.position(&self.addrs, addr)?;
        self.found(position, addr)
    }

    /// Looks up addresses in any order; faster than one by one, because the memory that one needs is
    /// fetched while others are searched.
    pub fn lookup_many<'t>(&'t self, addrs: &'t [u64]) -> impl Iterator<Item = Option<Found<'t>>> {
        addrs.chunks(BATCH).flat_map(|chunk| self.batch(chunk))
    }

    /// Looks up addresses that ascend: each search starts where the last one ended. Addresses that
    /// do not ascend are found as well, only slower.
    pub fn lookup_sorted<'t>(
        &'t self,
        addrs: &'t [u64],
    ) -> impl Iterator<Item = Option<Found<'t>>> {
        let mut hint = 0;
        addrs.iter().map(move |&addr| {
            hint = self.by_address.position_after(&self.addrs, hint, addr)?;
            self.found(hint, addr)
        })
    }

    /// The symbols of a name, in the order of the table; of all objects, and those that the kernel passes
    /// over too.
    ///
    /// Without [`Table::index_names`] this reads every name.
    pub fn by_name<'t>(&'t self, name: &str) -> impl Iterator<Item = Symbol<'t>> + use<'t, 'd> {
        let name: Name<'_> = name.into();
        let (mut next, end) = match &self.by_name {
            Some(index) => (index.first(name, |index| self.name_at(index)), 0),
            None => (None, self.count()),
        };
        let chained = core::iter::from_fn(move || {
            let index = next?;
            next = self.by_name.as_ref()?.next(index);
            Some(index)
        });
        let bytes: Vec<u8> = if end == 0 {
            Vec::new()
        } else {
            name.as_bytes().to_vec()
        };
        let scanned = (0..end).filter(move |&index| self.name_at(index).as_bytes() == bytes);
        chained.chain(scanned).map(|index| Symbol::new(self, index))
    }

    /// Makes the index of names, which makes [`Table::by_name`] and [`Table::sympos`] fast.
    pub fn index_names(&mut self) {
        if self.by_name.is_none() {
            self.by_name = Some(NameIndex::build(self.count(), |index| self.name_at(index)));
        }
    }

    /// How much memory it takes.
    #[must_use]
    pub fn memory_use(&self) -> MemoryUse {
        let parts = [
            size_of_val(self.addrs.as_slice()),
            size_of_val(self.names.as_slice()),
            size_of_val(self.kinds.as_slice()),
            size_of_val(self.runs.as_slice()),
            size_of_val(self.objects.as_slice()),
            self.objects
                .iter()
                .map(|object| object.name.len())
                .fold(0, usize::saturating_add),
            self.by_address.bytes(),
        ];
        MemoryUse {
            symbols: self.len(),
            text_bytes: self.text.len(),
            table_bytes: parts.into_iter().fold(0, usize::saturating_add),
            name_index_bytes: self.by_name.as_ref().map_or(0, NameIndex::bytes),
        }
    }

    /// The same table, owning its text.
    #[must_use]
    pub fn into_owned(self) -> Table<'static> {
        Table {
            text: Cow::Owned(self.text.into_owned()),
            ending: self.ending,
            addrs: self.addrs,
            names: self.names,
            kinds: self.kinds,
            objects: self.objects,
            runs: self.runs,
            by_address: self.by_address,
            by_name: self.by_name,
        }
    }

    fn found(&self, position: usize, addr: u64) -> Option<Found<'_>> {
        let index = &self.by_address;
        let start = index.address(&self.addrs, index.entry(position)?)?;
        index.entry(position)?.index()?;
        let first = index.first_alias(&self.addrs, position, start);
        let symbol = index.entry(first)?.index()?;
        let next = position.checked_add(1).and_then(|next| index.entry(next));
        let end = next.and_then(|next| index.address(&self.addrs, next));
        Some(Found {
            symbol: Symbol::new(self, symbol),
            start,
            end: end.unwrap_or(u64::MAX),
            ends_at: next.map_or(crate::End::Region, Entry::end),
            addr,
            position: first,
        })
    }

    /// One batch of [`Table::lookup_many`], in steps: the processor works at all of them at a time.
    fn batch(&self, addrs: &[u64]) -> impl Iterator<Item = Option<Found<'_>>> + use<'_, 'd> {
        let mut blocks = [None; BATCH];
        for (block, &addr) in blocks.iter_mut().zip(addrs) {
            *block = self.by_address.block(addr);
        }
        let mut found = [None; BATCH];
        for ((found, block), &addr) in found.iter_mut().zip(blocks).zip(addrs) {
            *found = block
                .and_then(|block| self.by_address.position_in(&self.addrs, block, addr))
                .and_then(|position| self.found(position, addr));
        }
        found.into_iter().take(addrs.len())
    }

    /// Symbols from a position of the address index on that have this address.
    pub(crate) fn entries_from(
        &self,
        position: usize,
        addr: u64,
    ) -> impl Iterator<Item = Symbol<'_>> {
        (position..self.by_address.len())
            .map_while(|position| self.by_address.entry(position)?.index())
            .take_while(move |&index| self.address_at(index) == addr)
            .map(|index| Symbol::new(self, index))
    }

    pub(crate) fn name_at(&self, index: u32) -> Name<'_> {
        let start = at(&self.names, index).and_then(|start| usize::try_from(start).ok());
        let rest = start
            .and_then(|start| self.text.get(start..))
            .unwrap_or_default();
        Name::new(rest.get(..self.ending.length(rest)).unwrap_or_default())
    }

    pub(crate) fn address_at(&self, index: u32) -> u64 {
        at(&self.addrs, index).unwrap_or_default()
    }

    pub(crate) fn kind_at(&self, index: u32) -> Kind {
        at(&self.kinds, index).unwrap_or(Kind::of_letter(b'?'))
    }

    pub(crate) fn object_at(&self, index: u32) -> Object<'_> {
        let run = self
            .runs
            .partition_point(|run| run.first <= index)
            .checked_sub(1);
        let run = run.and_then(|run| self.runs.get(run));
        let object = run.and_then(|run| self.objects.get(usize::try_from(run.object).ok()?));
        object.map_or(
            Object {
                name: VMLINUX.into(),
                kind: ObjectKind::Vmlinux,
            },
            ObjectEntry::view,
        )
    }
}

/// Addresses that [`Table::lookup_many`] works at together.
const BATCH: usize = 16;

fn at<T: Copy>(items: &[T], index: u32) -> Option<T> {
    items.get(usize::try_from(index).ok()?).copied()
}

impl ObjectEntry {
    fn view(&self) -> Object<'_> {
        Object {
            name: Name::new(&self.name),
            kind: self.kind,
        }
    }
}
