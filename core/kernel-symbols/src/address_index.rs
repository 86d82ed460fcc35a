//! Which symbol an address is in.
//!
//! [`AddressIndex`] has the symbols by ascending address, those of one address in the order of the table, and
//! between them *marks*: places from which on, up to the next symbol, there is nothing. A region that
//! ends is a mark, and so one search answers both which symbol is nearest and whether it reaches.
//!
//! What an answer is made of lies side by side, the place of the name too: a look-up reads two places of memory, the
//! bucket and the entries of it, and memory is what it waits for.

use alloc::vec::Vec;

use crate::buckets::{Buckets, BucketsBuilder, Range, Segment};
use crate::kind::Kind;
use crate::region::End;
use crate::symbol::NameAt;

/// Entries that are compared one after the other, when a bucket has no more of them: most have fewer.
const BLOCK: usize = 8;
/// Entries that are gone through from the last one found, before others are sought.
const STEPS: usize = 16;
const NUMBER_BITS: u32 = 24;
/// Number of a mark.
const REGION_END: u32 = (1 << NUMBER_BITS) - 1;
/// Number of a mark that is a guess.
const PAGE_END: u32 = REGION_END - 1;

/// Most symbols of a table: entries have 24 bits for the number of one.
pub(crate) const MAXIMUM_SYMBOLS: u32 = PAGE_END;

/// A symbol or a mark.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Address in the segment.
    offset: u32,
    name_start: u32,
    /// Number of the symbol in the table, or of the mark; above it the length of the name.
    what: u32,
}

impl Entry {
    #[inline]
    const fn number(self) -> u32 {
        self.what & REGION_END
    }

    #[inline]
    const fn symbol(self) -> Option<u32> {
        if self.number() < MAXIMUM_SYMBOLS {
            Some(self.number())
        } else {
            None
        }
    }

    #[inline]
    const fn name(self) -> NameAt {
        let [.., length] = self.what.to_le_bytes();
        NameAt {
            start: self.name_start,
            length,
        }
    }

    /// How a symbol before it ends.
    #[inline]
    const fn end(self) -> End {
        match self.number() {
            REGION_END => End::Region,
            PAGE_END => End::Page,
            _ => End::Symbol,
        }
    }
}

/// A symbol with its address; sorts as the index wants it: symbols of one address in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) addr: u64,
    /// Number of the symbol.
    index: u32,
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
            index,
            object: object | text | absolute,
        }
    }

    pub(crate) const fn index(self) -> u32 {
        self.index
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

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressIndex {
    entries: Vec<Entry>,
    buckets: Buckets,
}

/// A position of the order, with the segment that it is in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    segment: usize,
    position: usize,
}

/// Where an address is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Position of the symbol in the order of addresses; of several at one address the first.
    pub(crate) position: usize,
    /// Its address.
    pub(crate) start: u64,
    /// The first address behind it.
    pub(crate) end: u64,
    /// What is there.
    pub(crate) ends_at: End,
}

/// An index in the making.
#[derive(Debug)]
pub(crate) struct AddressIndexBuilder {
    entries: Vec<Entry>,
    buckets: BucketsBuilder,
}

impl AddressIndexBuilder {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            buckets: BucketsBuilder::default(),
        }
    }

    /// Appends a symbol; addresses must not descend.
    #[inline]
    pub(crate) fn push_symbol(&mut self, addr: u64, index: u32, name: NameAt) {
        self.push(addr, index, name);
    }

    /// Appends a mark.
    pub(crate) fn push_mark(&mut self, addr: u64, end: End) {
        let number = if end == End::Page {
            PAGE_END
        } else {
            REGION_END
        };
        self.push(addr, number, NameAt::default());
    }

    #[inline]
    fn push(&mut self, addr: u64, number: u32, name: NameAt) {
        let offset = self.buckets.push(addr);
        self.entries.push(Entry {
            offset,
            name_start: name.start,
            what: number | u32::from(name.length) << NUMBER_BITS,
        });
    }

    /// Ends the making.
    pub(crate) fn finish(mut self) -> AddressIndex {
        self.entries.shrink_to_fit();
        let offset_at = |at: usize| self.entries.get(at).map_or(0, |entry| entry.offset);
        let buckets = self.buckets.finish(offset_at);
        AddressIndex {
            entries: self.entries,
            buckets,
        }
    }
}

impl AddressIndex {
    #[inline]
    fn entry(&self, position: usize) -> Option<Entry> {
        self.entries.get(position).copied()
    }

    /// The symbol at a position of the order; `None` for a mark.
    #[inline]
    pub(crate) fn symbol_at(&self, position: usize) -> Option<u32> {
        self.entry(position)?.symbol()
    }

    /// Where the last address not above `addr` is sought by [`Self::spot_in`].
    #[inline]
    pub(crate) fn range(&self, addr: u64) -> Option<Range> {
        self.buckets.range(addr)
    }

    /// Reads the first entry of a range: memory is asked for it before others are searched.
    #[inline]
    pub(crate) fn touch(&self, range: Range) -> u32 {
        self.entry(range.low).map_or(0, |entry| entry.offset)
    }

    /// The last spot in a range that is not above what is sought.
    #[inline]
    pub(crate) fn spot_in(&self, range: Range) -> Option<Spot> {
        let entries = self.entries.get(range.low..)?;
        let length = range.high.saturating_sub(range.low);
        let count = match entries.first_chunk::<BLOCK>() {
            Some(entries) if length <= BLOCK => not_above(entries, length, range.offset),
            _ => {
                let entries = entries.get(..length).unwrap_or(entries);
                entries.partition_point(|entry| entry.offset <= range.offset)
            }
        };
        Some(Spot {
            segment: range.segment,
            // The first address of a segment is not above: there is one before every bucket but the first.
            position: range.low.checked_add(count)?.checked_sub(1)?,
        })
    }

    /// The last spot that is not above `addr`.
    #[inline]
    pub(crate) fn spot(&self, addr: u64) -> Option<Spot> {
        self.spot_in(self.range(addr)?)
    }

    /// The same, for an address that is likely a little behind that of `hint`.
    #[inline]
    pub(crate) fn spot_after(&self, hint: Spot, addr: u64) -> Option<Spot> {
        let near = self.near(hint, addr);
        if near.is_some() {
            return near;
        }
        self.spot(addr)
    }

    /// The same when it is in the same segment, and a few steps behind.
    #[inline]
    fn near(&self, hint: Spot, addr: u64) -> Option<Spot> {
        let Spot { segment, position } = hint;
        let found = self.buckets.segment(segment)?;
        let offset = u32::try_from(addr.checked_sub(found.address(0))?).ok()?;
        let (hinted, behind) = self.entries.get(position..found.end)?.split_first()?;
        if hinted.offset > offset {
            return None;
        }
        // Behind the last of a segment there may be others, and behind the last step too.
        let steps = behind.get(..STEPS).unwrap_or(behind);
        let count = steps.iter().position(|entry| entry.offset > offset)?;
        let position = position.saturating_add(count);
        Some(Spot { segment, position })
    }

    /// What is at a spot, unless it is a mark: the number of the symbol and where its name is.
    // What a caller does not ask for is then not computed.
    #[expect(clippy::inline_always, reason = "a fifth of the time of a look-up")]
    #[inline(always)]
    pub(crate) fn place(&self, spot: Spot) -> Option<(u32, NameAt, Place)> {
        let segment = self.buckets.segment(spot.segment)?;
        let entry = self.entry(spot.position)?;
        entry.symbol()?;
        let next = spot.position.checked_add(1)?;
        let behind = self.entry(next);
        let (end, ends_at) = match behind {
            Some(behind) if next < segment.end => (segment.address(behind.offset), behind.end()),
            _ => self.in_next_segment(spot.segment, behind),
        };
        let (position, entry) = self.first_alias(segment, spot.position, entry);
        let place = Place {
            position,
            start: segment.address(entry.offset),
            end,
            ends_at,
        };
        Some((entry.number(), entry.name(), place))
    }

    #[cold]
    fn in_next_segment(&self, segment: usize, first: Option<Entry>) -> (u64, End) {
        let start = self.buckets.start(segment.saturating_add(1));
        match start.zip(first) {
            Some((start, first)) => (start, first.end()),
            None => (u64::MAX, End::Region),
        }
    }

    /// The first position of a segment with the address of the symbol at `position`, and what is there.
    // Most often it is that one.
    #[expect(clippy::inline_always, reason = "a fifth of the time of a look-up")]
    #[inline(always)]
    fn first_alias(&self, segment: Segment, position: usize, entry: Entry) -> (usize, Entry) {
        match self.alias_before(segment, position, entry.offset) {
            Some(before) => self.first_of_few(segment, before),
            None => (position, entry),
        }
    }

    /// What is in front of a position, if it is a symbol of that address.
    #[inline]
    fn alias_before(
        &self,
        segment: Segment,
        position: usize,
        offset: u32,
    ) -> Option<(usize, Entry)> {
        let before = position.checked_sub(1).filter(|&it| it >= segment.begin)?;
        let entry = self.entry(before)?;
        (entry.offset == offset && entry.symbol().is_some()).then_some((before, entry))
    }

    fn first_of_few(&self, segment: Segment, mut first: (usize, Entry)) -> (usize, Entry) {
        // There are seldom more than two; but a file may say that all symbols are one.
        for _ in 0..STEPS {
            match self.alias_before(segment, first.0, first.1.offset) {
                Some(before) => first = before,
                None => return first,
            }
        }
        self.first_of_many(segment, first)
    }

    #[cold]
    fn first_of_many(&self, segment: Segment, first: (usize, Entry)) -> (usize, Entry) {
        let offset = first.1.offset;
        let entries = self.entries.get(segment.begin..first.0);
        let below = entries
            .unwrap_or_default()
            .partition_point(|it| it.offset < offset);
        let position = segment.begin.saturating_add(below);
        // At most one mark of the same address is before the symbols of it.
        let places = [position, position.saturating_add(1)].into_iter();
        let symbols = places.filter_map(|at| Some((at, self.entry(at)?)));
        let mut symbols = symbols.filter(|(_, it)| it.symbol().is_some());
        symbols.next().unwrap_or(first)
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.entries.as_slice()).saturating_add(self.buckets.bytes())
    }
}

/// How many of the first `length` of sorted entries are not above `offset`, in steps that the processor need not guess.
#[inline]
fn not_above(entries: &[Entry; BLOCK], length: usize, offset: u32) -> usize {
    let numbered = entries.iter().enumerate();
    // What is behind a segment has offsets of its own.
    let counted = numbered.map(|(at, entry)| usize::from((entry.offset <= offset) & (at < length)));
    counted.fold(0, usize::wrapping_add)
}
