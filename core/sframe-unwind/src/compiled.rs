//! One flat table of one or many sections: rows as sorted offsets, rules said once.
//!
//! Eight bytes a row and a small index by address: a lookup takes a few cache lines however many functions
//! there are. Real programs have few distinct rules: some 200 for the 25 000 rows of a large library.

use alloc::vec::Vec;

use crate::bytes::index;
use crate::error::Malformed;
use crate::section::Section;
use crate::tables::{Cover, Tables};

mod build;
mod intern;

use build::Builder;

/// Rows of one or many sections for fast lookup.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// Spans of up to 4 GiB, ascending.
    regions: Vec<Region>,
    /// Rows of repeated code.
    masks: Vec<Mask>,
    rules: Vec<Rule>,
}

/// Rows of at most 4 GiB of code.
#[derive(Clone, Debug)]
struct Region {
    base: u64,
    /// Bytes from the base to the end of the last function.
    len: u64,
    rows: Vec<Entry>,
    /// Row that holds at the start of each bucket of `1 << shift` bytes.
    buckets: Vec<u32>,
    shift: u32,
}

/// A row: from `start` on, counted from the base of its region, `rule` holds.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    rule: u32,
}

/// What a row refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    /// Nothing: code between functions.
    Gap,
    /// Rules.
    Cover(Cover),
    /// Rows of repeated code.
    Mask(u32),
}

/// Code that is repeated every `rep_size` bytes.
#[derive(Clone, Debug)]
struct Mask {
    start: u64,
    rep_size: u8,
    rows: Vec<Entry>,
}

impl Compiled {
    /// The table of one or many sections, in any order and sorted or not. Where functions overlap, the one
    /// that begins last is meant, as in [`Section::find`]; of those that begin at the same address, the last.
    ///
    /// # Errors
    /// A function contradicts itself. A table without it would be a silent gap; [`verify`](crate::verify())
    /// says everything that is wrong.
    pub fn build(sections: &[Section<'_>]) -> Result<Self, Malformed> {
        Builder::default().build(sections)
    }

    /// Count of rows, gaps included.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.regions.iter().map(|region| region.rows.len()).sum()
    }

    /// Count of distinct rules.
    #[must_use]
    pub const fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Bytes the table takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let regions = self.regions.iter().map(|region| {
            let rows = size_of_val(region.rows.as_slice());
            rows.saturating_add(size_of_val(region.buckets.as_slice()))
        });
        let masks = self
            .masks
            .iter()
            .map(|mask| size_of_val(mask.rows.as_slice()));
        let fixed = size_of_val(self.regions.as_slice())
            .saturating_add(size_of_val(self.masks.as_slice()))
            .saturating_add(size_of_val(self.rules.as_slice()));
        regions.chain(masks).fold(fixed, usize::saturating_add)
    }

    /// The rules at an instruction; `None` when nothing covers it.
    #[must_use]
    #[inline]
    pub fn find(&self, pc: u64) -> Option<&Cover> {
        let region = match self.regions.as_slice() {
            [only] => only,
            regions => {
                let behind = regions.partition_point(|region| region.base <= pc);
                regions.get(behind.checked_sub(1)?)?
            }
        };
        let offset = pc.wrapping_sub(region.base);
        if offset >= region.len {
            return None;
        }
        let offset = u32::try_from(offset).ok()?;
        match self.rules.get(index(region.find(offset)?))? {
            Rule::Cover(cover) => Some(cover),
            Rule::Gap => None,
            Rule::Mask(mask) => self.find_in_mask(*mask, pc),
        }
    }

    fn find_in_mask(&self, mask: u32, pc: u64) -> Option<&Cover> {
        let mask = self.masks.get(index(mask))?;
        let offset = pc
            .wrapping_sub(mask.start)
            .checked_rem(u64::from(mask.rep_size))?;
        let offset = u32::try_from(offset).ok()?;
        let behind = mask.rows.partition_point(|row| row.start <= offset);
        let row = mask.rows.get(behind.checked_sub(1)?)?;
        match self.rules.get(index(row.rule))? {
            Rule::Cover(cover) => Some(cover),
            Rule::Gap | Rule::Mask(_) => None,
        }
    }
}

impl Region {
    #[inline]
    fn find(&self, offset: u32) -> Option<u32> {
        let bucket = index(offset >> self.shift);
        let [first, last, ..] = self.buckets.get(bucket..)? else {
            return None;
        };
        // The row that holds at the start of the next bucket is the last that can hold here.
        let rows = self.rows.get(index(*first)..=index(*last))?;
        let behind = rows.partition_point(|row| row.start <= offset);
        rows.get(behind.checked_sub(1)?).map(|row| row.rule)
    }
}

impl Tables for Compiled {
    fn cover(&self, pc: u64) -> Result<Option<Cover>, Malformed> {
        Ok(self.find(pc).copied())
    }
}
