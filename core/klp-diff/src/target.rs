//! Where the relocations of copied bytes lead.

use elf_index::{Object, Reloc, SectionId, SymbolId, SymbolPlace};
use klp_checksum::{Insns, is_pc_relative, is_unnamed_symbol, meant_addend};

/// Bytes of a section: from `start` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// Section.
    pub section: SectionId,
    /// First offset.
    pub start: u64,
    /// One past the last offset.
    pub end: u64,
}

impl Piece {
    /// Tells whether an offset is in it.
    #[must_use]
    pub const fn contains(&self, offset: u64) -> bool {
        self.start <= offset && offset < self.end
    }
}

/// Where a relocation leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere: it has no symbol.
    None,
    /// To a symbol with a name; the addend counts from there.
    Symbol(SymbolId),
    /// To a place that is said by its section.
    Place {
        /// Section.
        section: SectionId,
        /// Offset that the program means.
        offset: u64,
        /// The symbol with a name that the place is in.
        symbol: Option<SymbolId>,
        /// What the addend has more than the offset: −4 in most instructions.
        bias: i64,
    },
}

/// Where a relocation of a piece leads; that of an instruction is decoded for it, from the start of the piece on.
#[must_use]
pub fn target(object: &Object<'_>, piece: Piece, reloc: &Reloc) -> Target {
    let Some(symbol) = object.symbol(reloc.symbol).filter(|_| reloc.symbol.0 != 0) else {
        return Target::None;
    };
    let SymbolPlace::Section(section) = symbol.place else {
        return Target::Symbol(reloc.symbol);
    };
    if !is_unnamed_symbol(symbol) {
        return Target::Symbol(reloc.symbol);
    }
    let meant = meant(object, piece, reloc);
    let offset = symbol.value.wrapping_add_signed(meant);
    let named = object.symbol_containing(section, offset).filter(|id| {
        object
            .symbol(*id)
            .is_some_and(|symbol| !is_unnamed_symbol(symbol))
    });
    Target::Place {
        section,
        offset,
        symbol: named.or_else(|| whole(object, section)),
        bias: reloc.addend.wrapping_sub(meant),
    }
}

/// The variable that has a data section to itself: a place before its first byte or behind its last one is counted from
/// it, too, as the end of an array is.
fn whole(object: &Object<'_>, id: SectionId) -> Option<SymbolId> {
    let section = object.section(id).filter(|section| !section.is_text())?;
    let first = *object.symbols_in(id).first()?;
    let symbol = object.symbol(first)?;
    let is_whole = symbol.value == 0 && symbol.size == section.size;
    (is_whole && !is_unnamed_symbol(symbol)).then_some(first)
}

fn meant(object: &Object<'_>, piece: Piece, reloc: &Reloc) -> i64 {
    let section = object.section(piece.section);
    let Some(section) = section.filter(|section| section.is_text() && is_pc_relative(reloc.kind))
    else {
        return reloc.addend;
    };
    let len = piece.end.saturating_sub(piece.start);
    let code = section.bytes(piece.start, len).unwrap_or_default();
    let mut insns = Insns::new(code, piece.start);
    let insn = insns.find(|insn| insn.end() > reloc.offset);
    insn.map_or(reloc.addend, |insn| meant_addend(reloc, &insn))
}
