//! [`Plan`]: what a livepatch module takes along, and what it refers to in the running kernel.
//!
//! A changed function is copied with everything that only it knows: new functions and data, strings, what compilers
//! make of its text. What the kernel has already must be used from there: by the module loader where the kernel or a
//! module exports it, else by a livepatch relocation, whose symbol the livepatch core looks up by name and position.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use elf_index::{Object, Reloc, SectionId, Symbol, SymbolId, SymbolPlace};
use klp_checksum::Program;

use crate::compare::Difference;
use crate::correlate::Correlation;
use crate::exports::Exports;
use crate::side::Side;
use crate::special::SpecialEntries;

/// How a symbol of the patched object is reached from the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach<'e> {
    /// It is copied into the module.
    Copied,
    /// The module loader finds it: the kernel exports it.
    Exported,
    /// The livepatch core finds it, in the object that is patched.
    InPatchedObject {
        /// The symbol before, whose name and position count.
        before: SymbolId,
    },
    /// The livepatch core finds it, in the module that exports it.
    InModule {
        /// That module.
        module: &'e str,
    },
    /// Nothing is known of it; the link of the module will fail.
    Unknown,
}

/// What a livepatch module takes along and what it refers to.
#[derive(Clone, Debug, Default)]
pub struct Plan<'e> {
    /// Every symbol that is needed, with how it is reached.
    pub symbols: BTreeMap<SymbolId, Reach<'e>>,
    /// Sections of which unnamed parts or strings are copied.
    pub unnamed: BTreeSet<SectionId>,
    /// Entries of special sections that go along: section, first byte, and one past the last.
    pub entries: BTreeSet<(SectionId, u64, u64)>,
}

/// What a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, 'o, 'd> {
    /// The build after the change.
    pub program: &'a Program<'o, 'd>,
    /// The same, with its names.
    pub after: &'a Side<'o, 'd>,
    /// Which symbol is which.
    pub twins: &'a Correlation,
    /// What differs.
    pub difference: &'a Difference,
}

impl<'e> Plan<'e> {
    /// Follows every reference of what changed and what is new.
    #[must_use]
    pub fn new(inputs: Inputs<'_, '_, '_>, exports: &'e Exports<'_>) -> Self {
        let mut planner = Planner {
            inputs,
            exports,
            special: SpecialEntries::new(inputs.program.object()),
            plan: Self::default(),
            open: Vec::new(),
        };
        let changed = inputs.difference.changed.iter().map(|(_, after)| *after);
        let object = inputs.program.object();
        let added = inputs.difference.added.iter().copied();
        // New data goes along only when something needs it.
        let added = added.filter(|id| object.symbol(*id).is_some_and(Symbol::is_func));
        for id in changed.chain(added) {
            planner.copy(id);
        }
        planner.run();
        planner.plan
    }
}

struct Planner<'a, 'o, 'd, 'e, 'x> {
    inputs: Inputs<'a, 'o, 'd>,
    exports: &'e Exports<'x>,
    special: SpecialEntries,
    plan: Plan<'e>,
    /// Bytes whose references are still to be followed.
    open: Vec<(SectionId, u64, u64)>,
}

impl<'d> Planner<'_, '_, 'd, '_, '_> {
    fn object(&self) -> &Object<'d> {
        self.inputs.program.object()
    }

    fn run(&mut self) {
        while let Some((section, start, end)) = self.open.pop() {
            let relocs: Vec<Reloc> = self
                .object()
                .relocs(section)
                .within(start..end)
                .iter()
                .collect();
            for reloc in relocs {
                self.follow(section, &reloc);
            }
            for entry in self.special.about(section, start..end) {
                if self.plan.entries.insert(entry) {
                    self.open.push(entry);
                }
            }
        }
    }

    fn copy(&mut self, id: SymbolId) {
        if self.plan.symbols.insert(id, Reach::Copied) == Some(Reach::Copied) {
            return;
        }
        let symbol = self.object().symbol(id).copied();
        if let Some((symbol, section)) =
            symbol.and_then(|symbol| Some((symbol, symbol.place.section()?)))
        {
            self.open.push((section, symbol.value, symbol.end()));
        }
    }

    fn follow(&mut self, section: SectionId, reloc: &Reloc) {
        if let Some(id) = self.inputs.program.target(section, reloc) {
            self.reach(id);
            return;
        }
        // No symbol: strings, constants, and data without a name.
        let target = self
            .object()
            .symbol(reloc.symbol)
            .and_then(|symbol| symbol.place.section());
        let Some(target) = target else {
            return;
        };
        let is_new = self.plan.unnamed.insert(target);
        let has_own_references = self
            .object()
            .section(target)
            .is_some_and(|section| !section.is_strings() && !section.is_text());
        if is_new && has_own_references {
            let piece = self.inputs.program.piece(section, reloc);
            self.open
                .extend(piece.map(|(start, end)| (target, start, end)));
        }
    }

    fn reach(&mut self, id: SymbolId) {
        if self.plan.symbols.contains_key(&id) {
            return;
        }
        let Some(symbol) = self.object().symbol(id).copied() else {
            return;
        };
        // A part of a function goes with it.
        let parent = symbol.name.find(".cold").is_some();
        let reach = self.exports.reach(symbol.name);
        let reach = match (reach, symbol.place) {
            (Some(reach), _) => reach,
            (None, SymbolPlace::Undefined) => Reach::Unknown,
            (None, _) if parent => Reach::Copied,
            (None, _) => match self.inputs.twins.before(id) {
                Some(before) => Reach::InPatchedObject { before },
                None => Reach::Copied,
            },
        };
        if reach == Reach::Copied {
            self.copy(id);
        } else {
            self.plan.symbols.insert(id, reach);
        }
    }
}
