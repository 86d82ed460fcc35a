//! Data without a name, and where each piece of it ends.
//!
//! Compilers put initialisers of local arrays, tables of switches and literals into read-only sections without symbols;
//! code refers to them by section and offset. Where one ends is not written anywhere. What is known is where references
//! lead: a piece begins at each, and reaches to the next. One that is used from several functions may be referred to in
//! its middle, too, by some of them; so two neighbours of which one function refers to both count as one piece. That may
//! say too much about a piece, never too little.

use alloc::vec::Vec;

use elf_index::{Object, Reloc, Section, SectionId, Symbol, SymbolId};

use crate::insn::{Insn, Insns, is_pc_relative, meant_addend};
use crate::transcript::At;

/// The pieces of unnamed data of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unnamed {
    /// First and last place of each piece, by place.
    pieces: Vec<(At, u64)>,
}

/// A reference to unnamed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    to: At,
    from: SymbolId,
}

impl Unnamed {
    pub(crate) fn new(object: &Object<'_>) -> Self {
        let is_candidate: Vec<bool> = object
            .sections_with_ids()
            .map(|(id, section)| may_be_unnamed(section) && !is_one_symbol(object, id, section))
            .collect();
        let is_candidate = |section: SectionId| {
            let at = usize::try_from(section.0).unwrap_or(usize::MAX);
            is_candidate.get(at).copied().unwrap_or(false)
        };
        let mut references = Vec::new();
        for (id, section) in object.sections_with_ids() {
            if !section.is_alloc() {
                continue;
            }
            let mut places = PlacesMeant::new(object, id);
            for reloc in object.relocs(id).iter() {
                let Some(symbol) = object.symbol(reloc.symbol) else {
                    continue;
                };
                let Some(target) = symbol.place.section() else {
                    continue;
                };
                if !is_unnamed_symbol(symbol) || !is_candidate(target) {
                    continue;
                }
                let Some(to) = places.place(&reloc) else {
                    continue;
                };
                if has_name(object, to.section, to.offset) {
                    continue;
                }
                let from = object.symbol_containing(id, reloc.offset);
                references.push(Reference {
                    to,
                    // What belongs to no symbol is a reader of its own: section numbers are no symbol numbers.
                    from: from.unwrap_or(SymbolId(u32::MAX.saturating_sub(id.0))),
                });
            }
        }
        references.sort_unstable();
        references.dedup();
        Self {
            pieces: pieces(object, &references),
        }
    }

    /// The piece with a place: its first offset and one past its last.
    pub(crate) fn piece(&self, at: At) -> Option<(u64, u64)> {
        let behind = self.pieces.partition_point(|(start, _)| *start <= at);
        let (start, end) = self.pieces.get(behind.checked_sub(1)?)?;
        (start.section == at.section && at.offset < *end).then_some((start.offset, *end))
    }

    /// The pieces of a section, by ascending place.
    pub(crate) fn pieces_in(&self, section: SectionId) -> impl Iterator<Item = (u64, u64)> {
        let first = self
            .pieces
            .partition_point(|(start, _)| start.section < section);
        let rest = self.pieces.iter().skip(first);
        rest.take_while(move |(start, _)| start.section == section)
            .map(|(start, end)| (start.offset, *end))
    }
}

/// Where relocations of a section lead, as the program means it: an instruction with one is decoded for it. Each function
/// is decoded once when relocations are asked for in the order of their places.
#[expect(missing_debug_implementations, reason = "the decoder has none")]
pub struct PlacesMeant<'o, 'd> {
    object: &'o Object<'d>,
    id: SectionId,
    /// The function that is being decoded, and its last instruction so far.
    function: Option<(SymbolId, Insns<'d>)>,
    insn: Option<Insn>,
}

impl<'o, 'd> PlacesMeant<'o, 'd> {
    /// For the relocations of a section.
    #[must_use]
    pub const fn new(object: &'o Object<'d>, id: SectionId) -> Self {
        Self {
            object,
            id,
            function: None,
            insn: None,
        }
    }

    /// The symbol that a relocation leads to: of a section symbol the one at that place.
    pub fn target(&mut self, reloc: &Reloc) -> Option<SymbolId> {
        let symbol = self.object.symbol(reloc.symbol)?;
        if !is_unnamed_symbol(symbol) {
            return Some(reloc.symbol);
        }
        let at = self.place(reloc)?;
        self.object.symbol_containing(at.section, at.offset)
    }

    pub(crate) fn place(&mut self, reloc: &Reloc) -> Option<At> {
        let symbol = self.object.symbol(reloc.symbol)?;
        let section = self.object.section(self.id)?;
        let addend = if section.is_text() && is_pc_relative(reloc.kind) {
            self.addend(section, reloc)
        } else {
            reloc.addend
        };
        Some(At {
            section: symbol.place.section()?,
            offset: symbol.value.wrapping_add_signed(addend),
        })
    }

    fn addend(&mut self, section: &Section<'d>, reloc: &Reloc) -> i64 {
        let object = self.object;
        let from = object.symbol_containing(self.id, reloc.offset);
        let Some((id, symbol)) = from.and_then(|id| Some((id, object.symbol(id)?))) else {
            return reloc.addend;
        };
        let is_known = self
            .function
            .as_ref()
            .is_some_and(|(known, _)| *known == id);
        let is_behind = self.insn.is_none_or(|insn| insn.offset <= reloc.offset);
        if !is_known || !is_behind {
            let code = section.bytes(symbol.value, symbol.size);
            let insns = Insns::new(code.unwrap_or_default(), symbol.value);
            self.function = Some((id, insns));
            self.insn = None;
        }
        if let Some((_, insns)) = &mut self.function {
            if self.insn.is_none_or(|insn| insn.end() <= reloc.offset) {
                self.insn = insns.find(|insn| insn.end() > reloc.offset);
            }
        }
        self.insn
            .map_or(reloc.addend, |insn| meant_addend(reloc, &insn))
    }
}

fn pieces(object: &Object<'_>, references: &[Reference]) -> Vec<(At, u64)> {
    let mut pieces: Vec<(At, u64)> = Vec::new();
    let mut readers: Vec<SymbolId> = Vec::new();
    for of_place in references.chunk_by(|one, two| one.to == two.to) {
        let Some(at) = of_place.first().map(|reference| reference.to) else {
            continue;
        };
        let end = natural_end(object, at);
        let is_shared = of_place
            .iter()
            .any(|reference| readers.binary_search(&reference.from).is_ok());
        match pieces.last_mut() {
            Some((start, last)) if start.section == at.section && at.offset < *last => {
                if !is_shared {
                    *last = at.offset;
                    pieces.push((at, end));
                    readers.clear();
                }
            }
            _ => {
                pieces.push((at, end));
                readers.clear();
            }
        }
        readers.extend(of_place.iter().map(|reference| reference.from));
        readers.sort_unstable();
        readers.dedup();
    }
    pieces
}

/// Where unnamed data ends at the latest: at the next symbol, or with its section.
fn natural_end(object: &Object<'_>, at: At) -> u64 {
    let ids = object.symbols_in(at.section);
    let behind = ids.partition_point(|id| {
        object
            .symbol(*id)
            .is_some_and(|symbol| symbol.value <= at.offset)
    });
    let next = ids
        .iter()
        .skip(behind)
        .filter_map(|id| object.symbol(*id))
        .find(|symbol| symbol.size > 0 && !is_unnamed_symbol(symbol));
    let end = next.map(|symbol| symbol.value);
    end.or_else(|| object.section(at.section).map(|section| section.size))
        .unwrap_or(at.offset)
}

/// Tells whether a symbol has no name that a programmer gave.
#[must_use]
pub fn is_unnamed_symbol(symbol: &Symbol<'_>) -> bool {
    symbol.is_section() || symbol.name.starts_with(".L")
}

/// Tells whether a symbol with a name of its own contains a place.
fn has_name(object: &Object<'_>, section: SectionId, offset: u64) -> bool {
    object
        .symbol_containing(section, offset)
        .and_then(|id| object.symbol(id))
        .is_some_and(|symbol| !is_unnamed_symbol(symbol))
}

/// Tells whether one symbol with a name is all of a section: the usual case, which needs no decoding.
fn is_one_symbol(object: &Object<'_>, id: SectionId, section: &Section<'_>) -> bool {
    let first = object.symbols_in(id).first();
    let first = first.and_then(|first| object.symbol(*first));
    first.is_some_and(|symbol| {
        !is_unnamed_symbol(symbol) && symbol.value == 0 && symbol.size == section.size
    })
}

fn may_be_unnamed(section: &Section<'_>) -> bool {
    let has_entries = section.is_mergeable() && section.entry_size > 0;
    section.is_alloc() && !section.is_text() && !section.is_strings() && !has_entries
}
