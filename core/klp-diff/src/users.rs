//! Who uses a static variable.

use alloc::vec;
use alloc::vec::Vec;

use elf_index::SymbolId;
use klp_checksum::{PlacesMeant, Program};

/// For each static variable the functions and objects that refer to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    /// Variable and user, sorted.
    pairs: Vec<(SymbolId, SymbolId)>,
    users: Vec<SymbolId>,
}

impl Users {
    pub(crate) fn new(
        program: &Program<'_, '_>,
        variables: impl IntoIterator<Item = SymbolId>,
    ) -> Self {
        let object = program.object();
        let mut is_variable = vec![false; object.symbols().len()];
        // Most sections have none, and what leads there needs no decoding.
        let mut has_variable = vec![false; object.sections().len()];
        let mut is_there = false;
        for id in variables {
            let at = usize::try_from(id.0).unwrap_or(usize::MAX);
            if let Some(slot) = is_variable.get_mut(at) {
                *slot = true;
                is_there = true;
            }
            let place = object.symbol(id).and_then(|symbol| symbol.place.section());
            let section = place.and_then(|section| usize::try_from(section.0).ok());
            if let Some(slot) = section.and_then(|at| has_variable.get_mut(at)) {
                *slot = true;
            }
        }
        let mut pairs = Vec::new();
        for (id, section) in object.sections_with_ids() {
            if !is_there || !section.is_alloc() {
                continue;
            }
            let mut places = PlacesMeant::new(object, id);
            for reloc in object.relocs(id).iter() {
                let place = object.symbol(reloc.symbol);
                let place = place.and_then(|symbol| symbol.place.section());
                let at = place.map_or(usize::MAX, |section| {
                    usize::try_from(section.0).unwrap_or(usize::MAX)
                });
                if has_variable.get(at) != Some(&true) {
                    continue;
                }
                let Some(to) = places.target(&reloc) else {
                    continue;
                };
                let at = usize::try_from(to.0).unwrap_or(usize::MAX);
                if is_variable.get(at) != Some(&true) {
                    continue;
                }
                pairs.extend(
                    object
                        .symbol_containing(id, reloc.offset)
                        .map(|from| (to, from)),
                );
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let users = pairs.iter().map(|(_, user)| *user).collect();
        Self { pairs, users }
    }

    pub(crate) fn of(&self, variable: SymbolId) -> &[SymbolId] {
        let first = self.pairs.partition_point(|(found, _)| *found < variable);
        let last = self.pairs.partition_point(|(found, _)| *found <= variable);
        self.users.get(first..last).unwrap_or_default()
    }
}
