//! A symbol of a table, and what an address is in.

use core::fmt;

use crate::address_index::{NamePlace, Place};
use crate::kind::Kind;
use crate::name::Name;
use crate::object::Object;
use crate::region::End;
use crate::table::Table;

/// A symbol of a table.
#[derive(Clone, Copy)]
pub struct Symbol<'t> {
    table: &'t Table<'t>,
    index: u32,
    /// Where its name is, when that is known.
    name: Option<NamePlace>,
}

impl<'t> Symbol<'t> {
    pub(crate) const fn new(table: &'t Table<'t>, index: u32) -> Self {
        Self {
            table,
            index,
            name: None,
        }
    }

    /// Its number in the untouched table, from 0. In the table of a module this is its number in the ELF symbol
    /// table, which relocations name.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Its name.
    #[must_use]
    #[inline]
    pub fn name(self) -> Name<'t> {
        match self.name {
            Some(name) => self.table.name(name),
            None => self.table.name_at(self.index),
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(self) -> u64 {
        self.table.address_at(self.index)
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.table.kind_at(self.index)
    }

    /// The object it belongs to.
    #[must_use]
    pub fn object(self) -> Object<'t> {
        self.table.object_at(self.index)
    }
}

impl fmt::Debug for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbol")
            .field("index", &self.index)
            .field("address", &format_args!("{:#x}", self.address()))
            .field("kind", &self.kind())
            .field("name", &self.name())
            .field("object", &self.object().name)
            .finish()
    }
}

/// The symbol that an address is in.
#[derive(Clone, Copy)]
pub struct Found<'t> {
    pub(crate) table: &'t Table<'t>,
    pub(crate) place: Place,
    pub(crate) addr: u64,
}

impl<'t> Found<'t> {
    /// The symbol: of those with its address the first in the order of the table.
    #[must_use]
    #[inline]
    pub fn symbol(&self) -> Symbol<'t> {
        symbol(self.table, self.place.position, self.place.name)
    }

    /// Its address.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.place.start
    }

    /// The first address behind it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.place.end
    }

    /// What it ends at.
    #[must_use]
    pub const fn ends_at(&self) -> End {
        self.place.ends_at
    }

    /// Bytes from its start to its end. The kernel does not know sizes of symbols (`st_size`) either.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.place.end.saturating_sub(self.place.start)
    }

    /// Bytes from its start to the address that was looked up.
    #[must_use]
    pub const fn offset_bytes(&self) -> u64 {
        self.addr.saturating_sub(self.place.start)
    }

    /// The other symbols of its address, in the order of the table.
    pub fn aliases(&self) -> impl Iterator<Item = Symbol<'t>> + 't {
        let (table, mut position) = (self.table, self.place.position);
        core::iter::from_fn(move || {
            let (before, name) = table.by_address.before(position)?;
            position = before;
            Some(symbol(table, before, name))
        })
    }
}

/// The symbol at a position of the index of addresses.
#[inline]
fn symbol<'t>(table: &'t Table<'t>, position: usize, name: NamePlace) -> Symbol<'t> {
    Symbol {
        table,
        index: table.by_address.number(position),
        name: Some(name),
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("symbol", &self.symbol())
            .field("place", &self.place)
            .field("addr", &format_args!("{:#x}", self.addr))
            .finish()
    }
}

impl fmt::Display for Found<'_> {
    /// As the kernel prints it, `name+0xoffset/0xsize [module]` (`sprint_symbol`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offset, size) = (self.offset_bytes(), self.size_bytes());
        write!(f, "{}+{offset:#x}/{size:#x}", self.symbol().name())?;
        let object = self.symbol().object();
        if object.kind == crate::ObjectKind::Vmlinux {
            return Ok(());
        }
        write!(f, " [{}]", object.name)
    }
}
