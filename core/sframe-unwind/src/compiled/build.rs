//! Makes the table.

use alloc::vec::Vec;

use super::intern::Interner;
use super::{Compiled, Entry, Mask, Region, Rule};
use crate::error::{Malformed, MalformedKind};
use crate::fde::{Fde, PcType};
use crate::header::Version;
use crate::rule::Unwind;
use crate::section::Section;
use crate::tables::Cover;

/// What has been made so far.
#[derive(Debug, Default)]
pub(super) struct Builder {
    interner: Interner,
    regions: Vec<Region>,
    masks: Vec<Mask>,
    /// The number of no rules.
    gap: u32,
}

/// A function with the section it is in.
type Function<'a> = (Fde, &'a Section<'a>);

impl Builder {
    pub(super) fn build(mut self, sections: &[Section<'_>]) -> Result<Compiled, Malformed> {
        self.gap = self.interner.number(Rule::Gap);
        let mut functions: Vec<Function<'_>> = Vec::new();
        for section in sections {
            for fde in section.fdes_with_rows() {
                functions.push((fde?, section));
            }
        }
        // Stable: of functions that begin at the same address the last one is meant.
        functions.sort_by_key(|(fde, _)| fde.start);
        let nexts = functions
            .iter()
            .skip(1)
            .map(|(fde, _)| fde.start)
            .chain([u64::MAX]);
        for ((fde, section), next) in functions.iter().zip(nexts) {
            let end = fde.start.saturating_add(u64::from(fde.size)).min(next);
            if fde.start < end {
                self.add(section, fde, end)?;
            }
        }
        for region in &mut self.regions {
            region.index();
        }
        Ok(Compiled {
            regions: self.regions,
            masks: self.masks,
            rules: self.interner.into_rules(),
        })
    }

    fn add(&mut self, section: &Section<'_>, fde: &Fde, end: u64) -> Result<(), Malformed> {
        match fde.pc_type {
            PcType::Inc => {
                let region = region_for(&mut self.regions, fde.start, end, self.gap);
                let begin = region.offset(fde.start);
                let size = region.offset(end).wrapping_sub(begin);
                let interner = &mut self.interner;
                rows(section, fde, |start, unwind| {
                    if start < size {
                        let rule = interner.number(cover(fde, unwind));
                        push(&mut region.rows, begin.wrapping_add(start), rule);
                    }
                })?;
            }
            PcType::Mask => {
                if fde.rep_size == 0 {
                    return Err(fde.malformed(fde.fre_off, MalformedKind::RepSize));
                }
                let mut mask = Mask {
                    start: fde.start,
                    rep_size: fde.rep_size,
                    rows: Vec::new(),
                };
                let interner = &mut self.interner;
                rows(section, fde, |start, unwind| {
                    push(&mut mask.rows, start, interner.number(cover(fde, unwind)));
                })?;
                let number = u32::try_from(self.masks.len()).unwrap_or(u32::MAX);
                self.masks.push(mask);
                let rule = self.interner.number(Rule::Mask(number));
                let region = region_for(&mut self.regions, fde.start, end, self.gap);
                let begin = region.offset(fde.start);
                push(&mut region.rows, begin, rule);
            }
        }
        Ok(())
    }
}

fn cover(fde: &Fde, unwind: Unwind) -> Rule {
    Rule::Cover(Cover {
        unwind,
        is_signal_frame: fde.is_signal_frame,
    })
}

/// Gives each row of a function; they must ascend, or a search would not be what a scan is.
fn rows(
    section: &Section<'_>,
    fde: &Fde,
    mut row_fn: impl FnMut(u32, Unwind),
) -> Result<(), Malformed> {
    if fde.is_outermost() && section.header().version == Version::V3 {
        row_fn(0, Unwind::Outermost);
    }
    let mut last = 0;
    for row in section.rows(fde) {
        let row = row?;
        if row.start < last {
            return Err(fde.malformed(fde.fre_off, MalformedKind::RowOrder));
        }
        last = row.start;
        row_fn(row.start, row.unwind);
    }
    Ok(())
}

/// A row replaces one that begins at the same place, as in a scan.
fn push(rows: &mut Vec<Entry>, start: u32, rule: u32) {
    match rows.last_mut() {
        Some(last) if last.start == start => last.rule = rule,
        _ => rows.push(Entry { start, rule }),
    }
}

/// The region that functions from `start` to `end` go to, with a gap up to `start`, and one from `end` on is
/// added when the next function comes.
fn region_for(regions: &mut Vec<Region>, start: u64, end: u64, gap: u32) -> &mut Region {
    let new = Region {
        base: start,
        len: 0,
        rows: Vec::new(),
        buckets: Vec::new(),
        shift: 0,
    };
    let region = match regions.pop() {
        Some(last) if end.wrapping_sub(last.base) <= u64::from(u32::MAX) => last,
        Some(full) => {
            regions.push(full);
            new
        }
        None => new,
    };
    let region = regions.push_mut(region);
    // Between the end of the last function and this one, and before its first row.
    let behind = u32::try_from(region.len).unwrap_or(u32::MAX);
    if region.len > 0 {
        push(&mut region.rows, behind, gap);
    }
    let begin = region.offset(start);
    push(&mut region.rows, begin, gap);
    region.len = end.wrapping_sub(region.base);
    region
}

impl Region {
    /// Offset from the base; callers know that it fits.
    fn offset(&self, addr: u64) -> u32 {
        u32::try_from(addr.wrapping_sub(self.base)).unwrap_or(u32::MAX)
    }

    /// Makes the index: about as many buckets as rows.
    fn index(&mut self) {
        let rows = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        self.shift = (0..32)
            .find(|shift| self.len >> shift <= rows)
            .unwrap_or(32);
        let count = (self.len >> self.shift).saturating_add(2);
        let mut row = 0_u32;
        let mut nexts = self.rows.iter().skip(1).peekable();
        for bucket in 0..count {
            let start = bucket << self.shift;
            while nexts
                .next_if(|next| u64::from(next.start) <= start)
                .is_some()
            {
                row = row.saturating_add(1);
            }
            self.buckets.push(row);
        }
        self.rows.shrink_to_fit();
        self.buckets.shrink_to_fit();
    }
}
