//! [`Plan`]: what a livepatch module takes along, and what it refers to in the running kernel.
//!
//! A changed function is copied with everything that only it knows: new functions and data, strings, what compilers
//! make of its text. What the kernel has already must be used from there: by the module loader where the kernel or a
//! module exports it, else by a livepatch relocation, whose symbol the livepatch core looks up by name and position.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use elf_index::{Object, Reloc, Section, SectionId, Symbol, SymbolId, SymbolPlace};
use klp_checksum::Program;

use crate::compare::Difference;
use crate::correlate::Correlation;
use crate::exports::Exports;
use crate::guard;
use crate::obstacle::Obstacle;
use crate::side::Side;
use crate::special::{SpecialEntries, is_special};
use crate::target::{Piece, Target, target};

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
    /// Everything that is copied: bodies of symbols, strings, unnamed data, replacements of alternatives.
    pub pieces: BTreeSet<Piece>,
    /// Entries of special sections that go along.
    pub entries: BTreeSet<Piece>,
    /// Relocations, by section and offset, that go unapplied: of code that is replaced before it runs.
    pub unapplied: BTreeSet<(SectionId, u64)>,
    /// What no module can take along. With any, there can be no module.
    pub obstacles: Vec<Obstacle>,
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
        let mut obstacles = Vec::new();
        let special = SpecialEntries::new(inputs.program.object(), &mut obstacles);
        let mut planner = Planner {
            inputs,
            exports,
            special,
            plan: Self {
                obstacles,
                ..Self::default()
            },
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
        let mut plan = planner.plan;
        // What is not to be copied needs no layout.
        if plan.pieces.is_empty() {
            plan.obstacles.clear();
        }
        guard::about_copied_code(object, &mut plan);
        guard::keys(object, exports, &mut plan);
        plan.obstacles.sort_unstable();
        plan.obstacles.dedup();
        plan
    }
}

struct Planner<'a, 'o, 'd, 'e, 'x> {
    inputs: Inputs<'a, 'o, 'd>,
    exports: &'e Exports<'x>,
    special: SpecialEntries,
    plan: Plan<'e>,
    /// Bytes whose references are still to be followed.
    open: Vec<Piece>,
}

impl<'d> Planner<'_, '_, 'd, '_, '_> {
    fn object(&self) -> &Object<'d> {
        self.inputs.program.object()
    }

    fn run(&mut self) {
        while let Some(piece) = self.open.pop() {
            let within = self.object().relocs(piece.section);
            let relocs: Vec<Reloc> = within.within(piece.start..piece.end).iter().collect();
            for reloc in relocs {
                self.follow(piece, &reloc);
            }
            let entries: Vec<Piece> = self.special.about(piece).collect();
            for entry in entries {
                self.take_entry(entry);
            }
        }
    }

    fn copy(&mut self, id: SymbolId) {
        if self.plan.symbols.insert(id, Reach::Copied) == Some(Reach::Copied) {
            return;
        }
        let symbol = self.object().symbol(id).copied();
        let place = symbol.and_then(|symbol| Some((symbol, symbol.place.section()?)));
        if let Some((symbol, section)) = place {
            let end = self.object().section(section).map_or(0, |it| it.size);
            // Nothing is copied of what is nothing: a lock's key in a kernel without lock debugging.
            if symbol.size == 0 && symbol.value < end {
                let offset = symbol.value;
                let unknown = Obstacle::UnknownEnd { section, offset };
                self.plan.obstacles.push(unknown);
            }
            self.take(Piece {
                section,
                start: self.start_with_prefix(section, &symbol),
                end: symbol.end(),
            });
        }
    }

    /// Where a function starts, counted from the padding in front of it, which a symbol of its own names.
    fn start_with_prefix(&self, section: SectionId, symbol: &Symbol<'_>) -> u64 {
        let object = self.object();
        let ids = object.symbols_in(section).iter();
        let prefix = ids.filter_map(|id| object.symbol(*id)).find(|other| {
            let is_prefix = other.name.starts_with("__pfx_") || other.name.starts_with("__cfi_");
            symbol.is_func() && is_prefix && other.size > 0 && other.end() == symbol.value
        });
        prefix.map_or(symbol.value, |prefix| prefix.value)
    }

    fn take(&mut self, piece: Piece) {
        if self.plan.pieces.insert(piece) {
            self.open.push(piece);
        }
    }

    fn take_entry(&mut self, entry: Piece) {
        if self.plan.entries.insert(entry) {
            self.open.push(entry);
        }
    }

    fn follow(&mut self, piece: Piece, reloc: &Reloc) {
        let (section, offset) = match target(self.object(), piece, reloc) {
            Target::None => return,
            Target::Symbol(id)
            | Target::Place {
                symbol: Some(id), ..
            } => return self.reach(id),
            Target::Place {
                section, offset, ..
            } => (section, offset),
        };
        let Some(header) = self.object().section(section).copied() else {
            return;
        };
        if header.is_text() {
            self.code(piece, reloc, section, offset);
            return;
        }
        if is_special(&header) {
            // A warning hands over its own entry.
            match self.special.entry_at(section, offset) {
                Some(entry) => self.take_entry(entry),
                None => self
                    .plan
                    .obstacles
                    .push(Obstacle::UnknownEnd { section, offset }),
            }
            return;
        }
        match self.data(section, &header, offset) {
            Some((start, end)) => self.take(Piece {
                section,
                start,
                end,
            }),
            None => self
                .plan
                .obstacles
                .push(Obstacle::UnknownEnd { section, offset }),
        }
    }

    /// Code without a symbol: a replacement, or what runs only until a replacement is in place.
    fn code(&mut self, piece: Piece, reloc: &Reloc, section: SectionId, offset: u64) {
        let of_entry = self.special.replacement_of(piece);
        // An alternative of no bytes has a place and needs none: what begins there is another one's.
        let is_empty = of_entry.is_some_and(|by| by.start == by.end && by.start == offset);
        let replacement = self.special.replacement_at(section, offset);
        if let Some(replacement) = replacement.filter(|_| !is_empty) {
            self.take(replacement);
            return;
        }
        if is_empty || self.special.is_replaced(piece.section, reloc.offset) {
            self.plan.unapplied.insert((piece.section, reloc.offset));
            return;
        }
        self.plan
            .obstacles
            .push(Obstacle::UnnamedCode { section, offset });
    }

    /// First and last offset of data without a symbol.
    fn data(&self, section: SectionId, header: &Section<'_>, offset: u64) -> Option<(u64, u64)> {
        if header.is_strings() {
            let string = string(header, offset)?;
            return Some((offset, offset.checked_add(string)?));
        }
        if header.is_mergeable() && header.entry_size > 0 {
            let start = offset.checked_sub(offset.checked_rem(header.entry_size)?)?;
            return Some((start, start.checked_add(header.entry_size)?));
        }
        self.inputs.program.piece(section, offset)
    }

    fn reach(&mut self, id: SymbolId) {
        if self.plan.symbols.contains_key(&id) {
            return;
        }
        let Some(symbol) = self.object().symbol(id).copied() else {
            return;
        };
        // A part of a function goes with it.
        let is_part = symbol.name.contains(".cold");
        let reach = self.exports.reach(symbol.name);
        let reach = match (reach, symbol.place) {
            (Some(reach), _) => reach,
            (None, SymbolPlace::Undefined) => Reach::Unknown,
            (None, _) if is_part => Reach::Copied,
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

/// Bytes of a string with its terminator.
fn string(header: &Section<'_>, offset: u64) -> Option<u64> {
    let unit = usize::try_from(header.entry_size.max(1)).ok()?;
    let rest = header.data.get(usize::try_from(offset).ok()?..)?;
    let letters = rest.chunks_exact(unit);
    let before = letters.take_while(|letter| letter.iter().any(|byte| *byte != 0));
    let len = before.count().checked_add(1)?.checked_mul(unit)?;
    u64::try_from(len).ok().filter(|_| len <= rest.len())
}
