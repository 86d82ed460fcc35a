//! The table.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::address_index::{AddressIndex, LONG, NamePlace};
use crate::kallsyms::line;
use crate::kind::Kind;
use crate::name::{Ending, Name};
use crate::name_index::NameIndex;
use crate::object::{Object, ObjectKind, VMLINUX};
use crate::symbol::{Found, Symbol};

/// Symbols of one or more objects, in the order of the kernel, with indexes beside it.
///
/// Takes 18 bytes for each symbol of text, and the text itself, which stays as it is: letters and addresses are read from
/// it. Those of ELF files take 16 more. See [`Table::memory_use`].
#[derive(Clone, Debug)]
pub struct Table<'d> {
    pub(crate) text: Cow<'d, [u8]>,
    pub(crate) ending: Ending,
    /// Where in `text` names start.
    pub(crate) names: Vec<u32>,
    /// What text does not say of symbols; empty for text.
    pub(crate) entries: Vec<TableEntry>,
    pub(crate) objects: Vec<ObjectEntry>,
    /// From which symbol on which object; ascending, the first at 0.
    pub(crate) runs: Vec<Run>,
    pub(crate) by_address: AddressIndex,
    pub(crate) by_name: Option<NameIndex>,
}

/// Address and kind of a symbol that is not from text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableEntry {
    pub(crate) addr: u64,
    pub(crate) kind: Kind,
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
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn count(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
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
    #[inline]
    pub fn lookup(&self, addr: u64) -> Option<Found<'_>> {
        self.found(self.by_address.leaf(addr)?, addr)
    }

    /// Looks up addresses in any order, and gives what was found to `each` in that order. Faster than one by one,
    /// because the memory that one needs is fetched while others are searched.
    #[inline]
    pub fn lookup_many<'t>(&'t self, addrs: &[u64], mut each: impl FnMut(Option<Found<'t>>)) {
        // In steps: what one step needs of memory is independent of the other addresses, and the processor asks for all of
        // it at a time.
        for addrs in addrs.chunks(BATCH) {
            let mut leaves = [None; BATCH];
            for (leaf, &addr) in leaves.iter_mut().zip(addrs) {
                *leaf = self.by_address.leaf(addr);
            }
            for (leaf, &addr) in leaves.into_iter().zip(addrs) {
                each(leaf.and_then(|leaf| self.found(leaf, addr)));
            }
        }
    }

    /// Looks up addresses that ascend: each search starts where the last one ended. Addresses that
    /// do not ascend are found as well, only slower.
    #[inline]
    pub fn lookup_sorted<'t>(
        &'t self,
        addrs: &'t [u64],
    ) -> impl Iterator<Item = Option<Found<'t>>> {
        let mut hint = 0;
        addrs.iter().map(move |&addr| {
            hint = self.by_address.leaf_after(hint, addr)?;
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
            size_of_val(self.names.as_slice()),
            size_of_val(self.entries.as_slice()),
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
            names: self.names,
            entries: self.entries,
            objects: self.objects,
            runs: self.runs,
            by_address: self.by_address,
            by_name: self.by_name,
        }
    }

    #[inline]
    fn found(&self, leaf: usize, addr: u64) -> Option<Found<'_>> {
        let place = self.by_address.place_in(leaf, addr)?;
        Some(Found {
            table: self,
            place,
            addr,
        })
    }

    #[inline]
    pub(crate) fn name_at(&self, index: u32) -> Name<'_> {
        let place = at(&self.names, index);
        self.name(NamePlace {
            at: place.unwrap_or(u32::MAX),
            length: LONG,
        })
    }

    #[inline]
    pub(crate) fn name(&self, place: NamePlace) -> Name<'_> {
        let start = usize::try_from(place.at).ok();
        let rest = start
            .and_then(|start| self.text.get(start..))
            .unwrap_or_default();
        let length = match place.length {
            LONG => self.ending.length(rest),
            length => usize::from(length),
        };
        Name::new(rest.get(..length).unwrap_or_default())
    }

    #[inline]
    pub(crate) fn address_at(&self, index: u32) -> u64 {
        match at(&self.entries, index) {
            Some(entry) => entry.addr,
            None => self.in_text(index).map_or(0, |(addr, _)| addr),
        }
    }

    #[inline]
    pub(crate) fn kind_at(&self, index: u32) -> Kind {
        match at(&self.entries, index) {
            Some(entry) => entry.kind,
            None => self
                .in_text(index)
                .map_or(Kind::of_letter(b'?'), |(_, kind)| kind),
        }
    }

    /// Address and kind in front of a name in text.
    fn in_text(&self, index: u32) -> Option<(u64, Kind)> {
        line::before(&self.text, usize::try_from(at(&self.names, index)?).ok()?)
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
const BATCH: usize = 32;

#[inline]
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
