//! Which symbol an address is in.
//!
//! Symbols are by ascending address, and between them are *marks*: places from which on, up to the next symbol, there is
//! nothing. A region that ends is a mark, and so one search answers both which symbol is nearest and whether it reaches.
//!
//! They are in *leaves* of sixteen, each with a row of addresses, a row of places of names and so on. Which leaf an address
//! is in is told by arrays that are so small that they stay in the nearer caches. Rows do not; but once the leaf is known
//! all of them are asked for at the same time, and none waits for what another says.

use alloc::vec::Vec;

use crate::buckets::Buckets;
use crate::kind::Kind;
use crate::region::End;

/// Entries of a leaf.
const WIDTH: usize = 16;
/// First addresses of leaves that are compared at a time, when a bucket has no more of them.
const BLOCK: usize = 4;
/// Offset of an entry that is not there.
const VACANT: u32 = u32::MAX;
/// Place of the name of a mark that is the end of a region.
const REGION: u32 = u32::MAX;
/// Place of the name of a mark that is a guess.
const PAGE: u32 = u32::MAX - 1;

/// Names of symbols are before this place of the text.
pub(crate) const PLACES_END: u32 = PAGE;
/// Most symbols of a table; keys need one number more than symbols have.
pub(crate) const MAXIMUM_SYMBOLS: u32 = 1 << 30;

/// Where a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamePlace {
    /// Where in the text it starts.
    pub(crate) at: u32,
    /// Its length in bytes; [`LONG`] when its end has to be looked for.
    pub(crate) length: u8,
}

/// Of a name: how long it is has to be looked for.
pub(crate) const LONG: u8 = u8::MAX;

/// What a symbol before an entry ends at.
const fn end(place: u32) -> End {
    match place {
        REGION => End::Region,
        PAGE => End::Page,
        _ => End::Symbol,
    }
}

/// An address with what is there; sorts as the index wants it: marks before symbols, symbols in the
/// order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) addr: u64,
    /// 0 for a mark, else the symbol's number and one.
    rank: u32,
    /// Object of the symbol, with two bits of its kind.
    object: u32,
}

/// Of a key: the symbol is code, or may be.
const TEXT: u32 = 1 << 31;
/// Of a key: the symbol has no place in memory unless a region says so.
const ABSOLUTE: u32 = 1 << 30;

impl Key {
    #[inline]
    pub(crate) fn symbol(addr: u64, index: u32, object: u32, kind: Kind) -> Self {
        let text = if kind.is_text() || kind.is_weak() {
            TEXT
        } else {
            0
        };
        let absolute = if kind.is_absolute() { ABSOLUTE } else { 0 };
        Self {
            addr,
            rank: index.saturating_add(1),
            object: object | text | absolute,
        }
    }

    pub(crate) const fn mark(addr: u64) -> Self {
        Self {
            addr,
            rank: 0,
            object: u32::MAX,
        }
    }

    /// The symbol's number; `None` for a mark.
    pub(crate) const fn index(self) -> Option<u32> {
        self.rank.checked_sub(1)
    }

    pub(crate) const fn object(self) -> u32 {
        self.object & !(TEXT | ABSOLUTE)
    }

    pub(crate) const fn is_text(self) -> bool {
        self.object & TEXT != 0
    }

    pub(crate) const fn is_absolute(self) -> bool {
        self.object & ABSOLUTE != 0
    }
}

/// Offsets, places or numbers: one line of the caches.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Row([u32; WIDTH]);

/// Lengths of names.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Lengths([u8; WIDTH]);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressIndex {
    /// The first address of each leaf.
    firsts: Vec<u64>,
    /// How far from the first address of the leaf each entry is; [`VACANT`] behind the last.
    offsets: Vec<Row>,
    /// Where the names of symbols are; of marks what kind they are.
    places: Vec<Row>,
    lengths: Vec<Lengths>,
    /// Numbers of the symbols.
    numbers: Vec<Row>,
    buckets: Buckets,
}

/// Where an address is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Position of the symbol in the order of addresses.
    pub(crate) position: usize,
    pub(crate) name: NamePlace,
    /// Its address.
    pub(crate) start: u64,
    /// The first address behind it.
    pub(crate) end: u64,
    /// What is there.
    pub(crate) ends_at: End,
}

/// An index in the making, of entries whose addresses do not descend. Of symbols at one address the *last* one is found.
#[derive(Debug)]
pub(crate) struct Maker {
    index: AddressIndex,
    /// The leaf that entries are added to, and how many it has.
    offsets: Row,
    places: Row,
    lengths: Lengths,
    numbers: Row,
    first: u64,
    count: usize,
}

impl Maker {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        let leaves = entries / WIDTH;
        Self {
            index: AddressIndex {
                firsts: Vec::with_capacity(leaves),
                offsets: Vec::with_capacity(leaves),
                places: Vec::with_capacity(leaves),
                lengths: Vec::with_capacity(leaves),
                numbers: Vec::with_capacity(leaves),
                buckets: Buckets::default(),
            },
            offsets: Row([VACANT; WIDTH]),
            places: Row([REGION; WIDTH]),
            lengths: Lengths([0; WIDTH]),
            numbers: Row([0; WIDTH]),
            first: 0,
            count: 0,
        }
    }

    /// Adds a symbol.
    #[inline]
    pub(crate) fn symbol(&mut self, addr: u64, number: u32, name: NamePlace) {
        self.add(addr, number, name);
    }

    /// Adds a mark; before the symbols of its address.
    pub(crate) fn mark(&mut self, addr: u64, end: End) {
        let at = if end == End::Page { PAGE } else { REGION };
        self.add(addr, 0, NamePlace { at, length: 0 });
    }

    #[inline]
    fn add(&mut self, addr: u64, number: u32, name: NamePlace) {
        let offset = addr.wrapping_sub(self.first);
        if self.count >= WIDTH || self.count == 0 || offset >= u64::from(VACANT) {
            self.leaf(addr);
        }
        // What does not fit in an offset has become the first of a leaf.
        let offset = u32::try_from(addr.wrapping_sub(self.first)).unwrap_or(VACANT);
        let at = self.count;
        if let (Some(to_offset), Some(to_place), Some(to_length), Some(to_number)) = (
            self.offsets.0.get_mut(at),
            self.places.0.get_mut(at),
            self.lengths.0.get_mut(at),
            self.numbers.0.get_mut(at),
        ) {
            (*to_offset, *to_place) = (offset, name.at);
            (*to_length, *to_number) = (name.length, number);
        }
        self.count = at.saturating_add(1);
    }

    /// Ends a leaf and begins the next.
    fn leaf(&mut self, addr: u64) {
        if self.count > 0 {
            self.index.firsts.push(self.first);
            self.index.offsets.push(self.offsets);
            self.index.places.push(self.places);
            self.index.lengths.push(self.lengths);
            self.index.numbers.push(self.numbers);
            self.offsets = Row([VACANT; WIDTH]);
            self.count = 0;
        }
        self.first = addr;
    }

    /// Ends the making.
    pub(crate) fn finish(mut self) -> AddressIndex {
        self.leaf(0);
        let mut index = self.index;
        index.buckets = Buckets::new(&index.firsts);
        index.firsts.shrink_to_fit();
        index.offsets.shrink_to_fit();
        index.places.shrink_to_fit();
        index.lengths.shrink_to_fit();
        index.numbers.shrink_to_fit();
        index
    }
}

impl AddressIndex {
    /// The leaf of the last entry that is not above `addr`.
    #[inline]
    pub(crate) fn leaf(&self, addr: u64) -> Option<usize> {
        let (low, high) = self.buckets.range(addr)?;
        let firsts = self.firsts.get(low..)?;
        let count = match firsts.first_chunk::<BLOCK>() {
            // What is behind the bucket is above the address, and does no harm.
            Some(firsts) if high.saturating_sub(low) <= BLOCK => {
                let counts = firsts.iter().map(|&it| usize::from(it <= addr));
                counts.fold(0, usize::wrapping_add)
            }
            _ => {
                let firsts = firsts.get(..high.saturating_sub(low)).unwrap_or(firsts);
                firsts.partition_point(|&it| it <= addr)
            }
        };
        let leaf = low.checked_add(count)?.checked_sub(1)?;
        self.touch(leaf);
        Some(leaf)
    }

    /// The same, for an address that is likely a little behind those of the leaf `hint`.
    #[inline]
    pub(crate) fn leaf_after(&self, hint: usize, addr: u64) -> Option<usize> {
        let near = self.firsts.get(hint..).and_then(<[u64]>::first_chunk::<3>);
        match near {
            Some(&[first, next, after]) if first <= addr && addr < after => {
                Some(hint.wrapping_add(usize::from(next <= addr)))
            }
            _ => self.leaf(addr),
        }
    }

    /// Has memory asked for all that is read of a leaf.
    #[inline]
    fn touch(&self, leaf: usize) {
        let place = self.places.get(leaf).map_or(0, |row| row.0[0]);
        let length = self.lengths.get(leaf).map_or(0, |row| row.0[0]);
        core::hint::black_box((place, length));
    }

    /// What is at `addr`, whose leaf this is; `None` when a mark is nearer than any symbol.
    #[inline]
    pub(crate) fn place_in(&self, leaf: usize, addr: u64) -> Option<Place> {
        let first = *self.firsts.get(leaf)?;
        let offsets = &self.offsets.get(leaf)?.0;
        let offset =
            u32::try_from(addr.wrapping_sub(first)).map_or(VACANT - 1, |it| it.min(VACANT - 1));
        let slot = not_above(offsets, offset).checked_sub(1)?;
        let places = &self.places.get(leaf)?.0;
        let name = NamePlace {
            at: *places.get(slot)?,
            length: *self.lengths.get(leaf)?.0.get(slot)?,
        };
        if end(name.at) != End::Symbol {
            return None;
        }
        let next = slot.wrapping_add(1);
        let (end, ends_at) = match offsets.get(next).zip(places.get(next)) {
            Some((&offset, &place)) if offset != VACANT => {
                (first.wrapping_add(u64::from(offset)), end(place))
            }
            _ => self.first_of(leaf.wrapping_add(1)),
        };
        Some(Place {
            position: leaf.wrapping_mul(WIDTH).wrapping_add(slot),
            name,
            start: first.wrapping_add(u64::from(*offsets.get(slot)?)),
            end,
            ends_at,
        })
    }

    /// Where the first entry of a leaf is, and what ends there.
    fn first_of(&self, leaf: usize) -> (u64, End) {
        let place = self.places.get(leaf).map(|row| end(row.0[0]));
        let first = self.firsts.get(leaf).copied().zip(place);
        first.unwrap_or((u64::MAX, End::Region))
    }

    /// Number of the symbol at a position.
    #[inline]
    pub(crate) fn number(&self, position: usize) -> u32 {
        let row = self.numbers.get(position / WIDTH);
        row.and_then(|row| row.0.get(position % WIDTH))
            .copied()
            .unwrap_or(0)
    }

    /// The symbol before that of a position, if it has the same address: its position and name.
    pub(crate) fn before(&self, position: usize) -> Option<(usize, NamePlace)> {
        let before = self.previous(position)?;
        let at = |row: &[Row]| Some(*row.get(before / WIDTH)?.0.get(before % WIDTH)?);
        let name = NamePlace {
            at: at(&self.places)?,
            length: *self.lengths.get(before / WIDTH)?.0.get(before % WIDTH)?,
        };
        let is_same = self.address(before) == self.address(position);
        (is_same && end(name.at) == End::Symbol).then_some((before, name))
    }

    fn previous(&self, position: usize) -> Option<usize> {
        if !position.is_multiple_of(WIDTH) {
            return position.checked_sub(1);
        }
        let leaf = (position / WIDTH).checked_sub(1)?;
        let used = not_above(&self.offsets.get(leaf)?.0, VACANT - 1);
        leaf.checked_mul(WIDTH)?.checked_add(used)?.checked_sub(1)
    }

    fn address(&self, position: usize) -> Option<u64> {
        let leaf = position / WIDTH;
        let offset = *self.offsets.get(leaf)?.0.get(position % WIDTH)?;
        Some(self.firsts.get(leaf)?.wrapping_add(u64::from(offset)))
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let parts = [
            size_of_val(self.firsts.as_slice()),
            size_of_val(self.offsets.as_slice()),
            size_of_val(self.places.as_slice()),
            size_of_val(self.lengths.as_slice()),
            size_of_val(self.numbers.as_slice()),
            self.buckets.bytes(),
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}

/// How many of ascending offsets are not above `offset`, in steps that the processor need not guess.
#[inline]
fn not_above(offsets: &[u32; WIDTH], offset: u32) -> usize {
    let counts = offsets.iter().map(|&it| u32::from(it <= offset));
    usize::try_from(counts.fold(0, u32::wrapping_add)).unwrap_or(WIDTH)
}

#[cfg(test)]
mod tests;
