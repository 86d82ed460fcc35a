//! Symbols by the place they are at.

use alloc::vec::Vec;

use crate::section::SectionId;
use crate::symbol::{Symbol, SymbolId};

/// The symbols of each section by ascending offset, section and file symbols left out.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Sorted by section, then offset, then index.
    ids: Vec<SymbolId>,
    /// First offset of each, and one past its last: a search needs no symbols, which are far from each other.
    spans: Vec<(u64, u64)>,
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
            while let Some(((_, value, index), _)) =
                entries.next_if(|((of, _, _), _)| *of == section)
            {
                let end = usize::try_from(*index)
                    .ok()
                    .and_then(|index| symbols.get(index))
                    .map_or(0, Symbol::end);
                greatest = greatest.max(end);
                places.ids.push(SymbolId(*index));
                places.spans.push((*value, end));
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
    fn reach(&self, section: SectionId) -> &[u64] {
        self.range(section)
            .and_then(|range| self.reach.get(range))
            .unwrap_or_default()
    }

    /// The symbol whose bytes contain an offset; of several the smallest, then the last of the table.
    #[inline]
    pub(crate) fn containing(&self, section: SectionId, offset: u64) -> Option<SymbolId> {
        let range = self.range(section)?;
        let spans = self.spans.get(range.clone())?;
        let ids = self.ids.get(range)?;
        // With a section for each function this is the usual case.
        if let ([(start, end)], [only]) = (spans, ids) {
            return (*start <= offset && offset < *end).then_some(*only);
        }
        let reach = self.reach(section);
        let behind = spans.partition_point(|(start, _)| *start <= offset);
        let mut best: Option<(SymbolId, u64)> = None;
        let entries = ids.iter().zip(spans).zip(reach);
        for ((id, (start, end)), reach) in entries.take(behind).rev() {
            if *reach <= offset {
                break;
            }
            let size = end.wrapping_sub(*start);
            if *end > offset && best.is_none_or(|(_, least)| size < least) {
                best = Some((*id, size));
            }
        }
        best.map(|(id, _)| id)
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::symbol::{Binding, SymbolKind, SymbolPlace};

    fn symbol(section: u32, value: u64, size: u64) -> Symbol<'static> {
        Symbol {
            name: "symbol",
            value,
            size,
            place: SymbolPlace::Section(SectionId(section)),
            kind: SymbolKind::OBJECT,
            binding: Binding::LOCAL,
            other: 0,
        }
    }

    /// Looks at every symbol.
    fn slowly(symbols: &[Symbol<'_>], section: u32, offset: u64) -> Option<SymbolId> {
        let containing = (0..).zip(symbols).filter(|(_, symbol)| {
            symbol.place.section() == Some(SectionId(section))
                && symbol.value <= offset
                && offset < symbol.end()
        });
        let best = containing.min_by_key(|(id, symbol)| {
            let order = (symbol.value, *id);
            (symbol.size, core::cmp::Reverse(order))
        });
        best.map(|(id, _)| SymbolId(id))
    }

    #[test]
    fn the_smallest_of_nested_symbols_and_the_last_of_aliases_is_found() {
        let symbols = [
            symbol(1, 0, 100),
            symbol(1, 10, 20),
            symbol(1, 10, 20),
            symbol(1, 50, 0),
            symbol(2, 10, 5),
        ];
        let places = Places::new(&symbols, 3);
        let found = |offset| places.containing(SectionId(1), offset).map(|id| id.0);
        assert_eq!(found(9), Some(0));
        assert_eq!(found(10), Some(2));
        assert_eq!(found(29), Some(2));
        assert_eq!(found(50), Some(0));
        assert_eq!(found(100), None);
        assert_eq!(places.in_section(SectionId(2)), [SymbolId(4)]);
        assert_eq!(places.containing(SectionId(9), 0), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_every_symbol_finds(
            places in vec((0_u32..3, 0_u64..40, 0_u64..20), 0..30),
            section in 0_u32..4,
            offset in 0_u64..70,
        ) {
            let symbols: Vec<_> = places
                .into_iter()
                .map(|(section, value, size)| symbol(section, value, size))
                .collect();
            let index = Places::new(&symbols, 3);
            let found = index.containing(SectionId(section), offset);
            prop_assert_eq!(found, slowly(&symbols, section, offset));
        }
    }
}
