//! Symbols by the place they are at.

use alloc::vec::Vec;

use crate::section::SectionId;
use crate::symbol::{Symbol, SymbolId};

/// The symbols of each section by ascending offset, section and file symbols left out.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Sorted by section, then offset, then index.
    ids: Vec<SymbolId>,
    /// Greatest end of a symbol of the section up to here: a search backwards may stop below it.
    reach: Vec<u64>,
    /// First entry of each section, and one past the last entry.
    starts: Vec<u32>,
}

impl Places {
    pub(crate) fn new(symbols: &[Symbol<'_>], sections: usize) -> Self {
        let mut keyed: Vec<(u32, u64, u32)> = Vec::new();
        for (symbol, index) in symbols.iter().zip(0_u32..) {
            if symbol.is_section() || symbol.is_file() {
                continue;
            }
            if let Some(section) = symbol.place.section() {
                keyed.push((section.0, symbol.value, index));
            }
        }
        keyed.sort_unstable();
        let mut places = Self::default();
        places.starts.reserve_exact(sections.saturating_add(1));
        let mut entries = keyed.iter().zip(0_u32..).peekable();
        for section in (0_u32..).take(sections) {
            let mut greatest = 0;
            places
                .starts
                .push(entries.peek().map_or_else(|| count(&keyed), |(_, at)| *at));
            while let Some(((_, _, index), _)) = entries.next_if(|((of, _, _), _)| *of == section) {
                let end = usize::try_from(*index)
                    .ok()
                    .and_then(|index| symbols.get(index))
                    .map_or(0, Symbol::end);
                greatest = greatest.max(end);
                places.ids.push(SymbolId(*index));
                places.reach.push(greatest);
            }
        }
        places.starts.push(count(&keyed));
        places
    }

    /// Symbols of a section by ascending offset.
    #[must_use]
    #[inline]
    pub fn in_section(&self, section: SectionId) -> &[SymbolId] {
        self.range(section)
            .and_then(|range| self.ids.get(range))
            .unwrap_or_default()
    }

    /// The greatest end of any symbol up to each entry of [`Places::in_section`].
    #[inline]
    pub(crate) fn reach(&self, section: SectionId) -> &[u64] {
        self.range(section)
            .and_then(|range| self.reach.get(range))
            .unwrap_or_default()
    }

    #[inline]
    fn range(&self, section: SectionId) -> Option<core::ops::Range<usize>> {
        let at = usize::try_from(section.0).ok()?;
        let first = usize::try_from(*self.starts.get(at)?).ok()?;
        let last = usize::try_from(*self.starts.get(at.checked_add(1)?)?).ok()?;
        Some(first..last)
    }
}

fn count(keyed: &[(u32, u64, u32)]) -> u32 {
    // Symbols were counted in 32 bits when they were read.
    u32::try_from(keyed.len()).unwrap_or(u32::MAX)
}
