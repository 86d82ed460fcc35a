//! Which symbol an address is in.
//!
//! `order` has the symbols by ascending address, those of one address in the order of the table, and
//! between them *marks*: places from which on, up to the next symbol, there is nothing. A region that
//! ends is a mark, and so one search answers both which symbol is nearest and whether it reaches.
//!
//! Every sixteenth address is repeated in `samples`, every sixteenth of these in `tops`: two lists
//! that stay in the caches of the processor, so that a search touches the table itself once.

use alloc::vec::Vec;

use crate::region::End;

/// Entries that share a sample, and samples that share a top.
const BLOCK: usize = 16;
const MARK: u32 = 1 << 31;
const PAGE: u32 = 1 << 30;

/// Most symbols of a table: entries keep two bits for themselves.
pub(crate) const MAXIMUM_SYMBOLS: u32 = PAGE - 1;

/// A symbol by its number in the table, or a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u32);

impl Entry {
    pub(crate) const fn symbol(index: u32) -> Self {
        Self(index)
    }

    /// What it is, when it is a symbol.
    pub(crate) const fn index(self) -> Option<u32> {
        if self.0 & MARK == 0 {
            Some(self.0)
        } else {
            None
        }
    }

    /// How a symbol before it ends.
    pub(crate) const fn end(self) -> End {
        match (self.0 & MARK, self.0 & PAGE) {
            (0, _) => End::Symbol,
            (_, 0) => End::Region,
            _ => End::Page,
        }
    }
}

/// An address with what is there; sorts as the index wants it: marks before symbols, symbols in the
/// order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) addr: u64,
    /// 0 for a mark.
    rank: u32,
    /// Object of the symbol.
    pub(crate) object: u32,
}

impl Key {
    pub(crate) const fn symbol(addr: u64, index: u32, object: u32) -> Self {
        Self {
            addr,
            rank: index.saturating_add(1),
            object,
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
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressIndex {
    order: Vec<Entry>,
    marks: Vec<u64>,
    samples: Vec<u64>,
    tops: Vec<u64>,
}

impl AddressIndex {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self {
            order: Vec::with_capacity(entries),
            samples: Vec::with_capacity((entries / BLOCK).saturating_add(1)),
            ..Self::default()
        }
    }

    /// Appends a symbol; addresses must not descend.
    pub(crate) fn push_symbol(&mut self, addr: u64, index: u32) {
        self.push(addr, Entry::symbol(index));
    }

    /// Appends a mark.
    pub(crate) fn push_mark(&mut self, addr: u64, end: End) {
        let flags = if end == End::Page { MARK | PAGE } else { MARK };
        // There is at most one mark for each symbol and region; the number of both is bounded.
        let number = u32::try_from(self.marks.len()).unwrap_or(0) & MAXIMUM_SYMBOLS;
        self.marks.push(addr);
        self.push(addr, Entry(flags | number));
    }

    fn push(&mut self, addr: u64, entry: Entry) {
        if self.order.len().is_multiple_of(BLOCK) {
            if self.samples.len().is_multiple_of(BLOCK) {
                self.tops.push(addr);
            }
            self.samples.push(addr);
        }
        self.order.push(entry);
    }

    pub(crate) fn shrink(&mut self) {
        self.order.shrink_to_fit();
        self.marks.shrink_to_fit();
        self.samples.shrink_to_fit();
        self.tops.shrink_to_fit();
    }

    pub(crate) fn entry(&self, position: usize) -> Option<Entry> {
        self.order.get(position).copied()
    }

    /// Address of an entry; `addrs` are those of the table.
    pub(crate) fn address(&self, addrs: &[u64], entry: Entry) -> Option<u64> {
        match entry.index() {
            Some(index) => addrs.get(usize::try_from(index).ok()?).copied(),
            None => {
                let number = usize::try_from(entry.0 & MAXIMUM_SYMBOLS).ok()?;
                self.marks.get(number).copied()
            }
        }
    }

    /// The block of `order` in which the last entry not above `addr` is: its first position.
    pub(crate) fn block(&self, addr: u64) -> Option<usize> {
        let top = self
            .tops
            .partition_point(|&top| top <= addr)
            .checked_sub(1)?;
        let first = top.checked_mul(BLOCK)?;
        let samples = self.samples.get(first..)?;
        let samples = samples.get(..BLOCK).unwrap_or(samples);
        let sample = samples
            .partition_point(|&sample| sample <= addr)
            .checked_sub(1)?;
        first.checked_add(sample)?.checked_mul(BLOCK)
    }

    /// The last position in a block that is not above `addr`.
    pub(crate) fn position_in(&self, addrs: &[u64], block: usize, addr: u64) -> Option<usize> {
        let entries = self.order.get(block..)?;
        let entries = entries.get(..BLOCK).unwrap_or(entries);
        let is_not_above = |entry: &Entry| self.is_not_above(addrs, *entry, addr);
        block
            .checked_add(entries.partition_point(is_not_above))?
            .checked_sub(1)
    }

    /// The last position that is not above `addr`.
    pub(crate) fn position(&self, addrs: &[u64], addr: u64) -> Option<usize> {
        self.position_in(addrs, self.block(addr)?, addr)
    }

    /// The same, for an address that is likely a little behind that of `hint`.
    pub(crate) fn position_after(&self, addrs: &[u64], hint: usize, addr: u64) -> Option<usize> {
        let is_not_above = |position: usize| {
            let entry = self.entry(position);
            entry.is_some_and(|entry| self.is_not_above(addrs, entry, addr))
        };
        if !is_not_above(hint) {
            return self.position(addrs, addr);
        }
        let mut low = hint;
        for _ in 0..BLOCK {
            let next = low.saturating_add(1);
            if !is_not_above(next) {
                return Some(low);
            }
            low = next;
        }
        self.position(addrs, addr)
    }

    fn is_not_above(&self, addrs: &[u64], entry: Entry, addr: u64) -> bool {
        self.address(addrs, entry).is_some_and(|it| it <= addr)
    }

    /// The first position with the address of the symbol at `position`.
    pub(crate) fn first_alias(&self, addrs: &[u64], position: usize, addr: u64) -> usize {
        let is_alias = |position: usize| {
            let entry = self.entry(position);
            entry.is_some_and(|it| it.index().is_some() && self.address(addrs, it) == Some(addr))
        };
        let mut first = position;
        // There are seldom more than two; but a file may say that all symbols are one.
        for _ in 0..BLOCK {
            match first.checked_sub(1) {
                Some(before) if is_alias(before) => first = before,
                _ => return first,
            }
        }
        let entries = self.order.get(..first).unwrap_or_default();
        entries.partition_point(|entry| {
            entry.index().is_none() && self.is_not_above(addrs, *entry, addr)
                || self.address(addrs, *entry).is_some_and(|it| it < addr)
        })
    }

    pub(crate) const fn len(&self) -> usize {
        self.order.len()
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let words = [&self.marks, &self.samples, &self.tops];
        let words = words.iter().map(|words| size_of_val(words.as_slice()));
        words.fold(size_of_val(self.order.as_slice()), usize::saturating_add)
    }
}
