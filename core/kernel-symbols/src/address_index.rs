//! Which symbol an address is in.
//!
//! `order` has the symbols by ascending address, those of one address in the order of the table, and
//! between them *marks*: places from which on, up to the next symbol, there is nothing. A region that
//! ends is a mark, and so one search answers both which symbol is nearest and whether it reaches.

use alloc::vec::Vec;

use crate::buckets::Buckets;
use crate::kind::Kind;
use crate::region::End;

/// Addresses that are compared at a time, when a bucket has no more of them.
const BLOCK: usize = 16;
/// Of an entry: it is a mark.
const MARK: u32 = 1 << 31;
/// Of a mark: it is a guess.
const PAGE: u32 = 1 << 30;

/// Most symbols of a table: entries keep two bits for themselves.
pub(crate) const MAXIMUM_SYMBOLS: u32 = PAGE;

/// A symbol by its number in the table, or a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u32);

impl Entry {
    #[inline]
    const fn symbol(self) -> Option<u32> {
        if self.0 & MARK == 0 {
            Some(self.0)
        } else {
            None
        }
    }

    /// How a symbol before it ends.
    #[inline]
    const fn end(self) -> End {
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

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressIndex {
    addrs: Vec<u64>,
    order: Vec<Entry>,
    buckets: Buckets,
}

/// Where an address is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Position of the symbol in the order of addresses; of several at one address the first.
    pub(crate) position: usize,
    /// Number of the symbol.
    pub(crate) symbol: u32,
    /// Its address.
    pub(crate) start: u64,
    /// The first address behind it.
    pub(crate) end: u64,
    /// What is there.
    pub(crate) ends_at: End,
}

impl AddressIndex {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self {
            addrs: Vec::with_capacity(entries),
            order: Vec::with_capacity(entries),
            buckets: Buckets::default(),
        }
    }

    /// Appends a symbol; addresses must not descend.
    pub(crate) fn push_symbol(&mut self, addr: u64, index: u32) {
        self.push(addr, Entry(index & !MARK));
    }

    /// Appends a mark.
    pub(crate) fn push_mark(&mut self, addr: u64, end: End) {
        self.push(
            addr,
            Entry(if end == End::Page { MARK | PAGE } else { MARK }),
        );
    }

    fn push(&mut self, addr: u64, entry: Entry) {
        self.addrs.push(addr);
        self.order.push(entry);
    }

    /// Ends the making.
    pub(crate) fn finish(&mut self) {
        self.buckets = Buckets::new(&self.addrs);
        self.order.shrink_to_fit();
        self.addrs.shrink_to_fit();
    }

    /// The symbol at a position of the order; `None` for a mark.
    #[inline]
    pub(crate) fn symbol_at(&self, position: usize) -> Option<u32> {
        self.order.get(position)?.symbol()
    }

    /// The address at a position of the order.
    #[inline]
    pub(crate) fn address_at(&self, position: usize) -> Option<u64> {
        self.addrs.get(position).copied()
    }

    /// The positions among which the last address not above `addr` is sought by [`Self::position_in`].
    #[inline]
    pub(crate) fn range(&self, addr: u64) -> Option<(usize, usize)> {
        self.buckets.range(addr)
    }

    /// The last position that is not above `addr`.
    #[inline]
    pub(crate) fn position_in(&self, (low, high): (usize, usize), addr: u64) -> Option<usize> {
        let addrs = self.addrs.get(low..)?;
        let count = match addrs.first_chunk::<BLOCK>() {
            // What is behind the bucket is above the address, and does no harm.
            Some(addrs) if high.saturating_sub(low) <= BLOCK => not_above(addrs, addr),
            _ => {
                let addrs = addrs.get(..high.saturating_sub(low)).unwrap_or(addrs);
                addrs.partition_point(|&it| it <= addr)
            }
        };
        low.checked_add(count)?.checked_sub(1)
    }

    /// The last position that is not above `addr`.
    #[inline]
    pub(crate) fn position(&self, addr: u64) -> Option<usize> {
        let range = self.range(addr)?;
        // What is at the position is asked for next, and is near: memory is asked for it while addresses are compared.
        core::hint::black_box(self.order.get(range.0).copied());
        self.position_in(range, addr)
    }

    /// The same, for an address that is likely a little behind that of `hint`.
    #[inline]
    pub(crate) fn position_after(&self, hint: usize, addr: u64) -> Option<usize> {
        if self.address_at(hint).is_none_or(|it| it > addr) {
            return self.position(addr);
        }
        let mut low = hint;
        for _ in 0..BLOCK {
            let next = low.saturating_add(1);
            if self.address_at(next).is_none_or(|it| it > addr) {
                return Some(low);
            }
            low = next;
        }
        self.position(addr)
    }

    /// What is at a position, unless it is a mark.
    #[inline]
    pub(crate) fn place(&self, position: usize) -> Option<Place> {
        let start = self.address_at(position)?;
        let symbol = self.symbol_at(position)?;
        let next = position.checked_add(1)?;
        let (end, ends_at) = match self.address_at(next).zip(self.order.get(next)) {
            Some((end, entry)) => (end, entry.end()),
            None => (u64::MAX, End::Region),
        };
        let (position, symbol) = self.first_alias(position, symbol, start);
        Some(Place {
            position,
            symbol,
            start,
            end,
            ends_at,
        })
    }

    /// The first position with the address of the symbol at `position`, and its symbol.
    #[inline]
    fn first_alias(&self, position: usize, symbol: u32, addr: u64) -> (usize, u32) {
        let mut first = (position, symbol);
        // There are seldom more than two; but a file may say that all symbols are one.
        for _ in 0..BLOCK {
            let before = first.0.checked_sub(1);
            let symbol = before.and_then(|before| self.symbol_at(before));
            match before.zip(symbol) {
                Some(before) if self.address_at(before.0) == Some(addr) => first = before,
                _ => return first,
            }
        }
        self.first_of_many(first, addr)
    }

    #[cold]
    fn first_of_many(&self, first: (usize, u32), addr: u64) -> (usize, u32) {
        let addrs = self.addrs.get(..first.0).unwrap_or_default();
        let mut position = addrs.partition_point(|&it| it < addr);
        // At most one mark of the same address is before the symbols of it.
        if self.symbol_at(position).is_none() {
            position = position.saturating_add(1);
        }
        self.symbol_at(position)
            .map_or(first, |symbol| (position, symbol))
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.addrs.as_slice())
            .saturating_add(size_of_val(self.order.as_slice()))
            .saturating_add(self.buckets.bytes())
    }
}

/// How many of sorted addresses are not above `addr`, in steps that the processor need not guess.
#[inline]
fn not_above(addrs: &[u64; BLOCK], addr: u64) -> usize {
    addrs
        .iter()
        .map(|&it| usize::from(it <= addr))
        .fold(0, usize::wrapping_add)
}
