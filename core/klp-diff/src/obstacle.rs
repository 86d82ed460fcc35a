//! [`Obstacle`]: what a module of the change cannot take along.

use elf_index::{SectionId, SymbolId};

/// Something that the changed code needs and that no livepatch module can have. Left out, the module would load and be
/// wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obstacle {
    /// A section whose entries are about code is no array of entries of the known size.
    SpecialLayout {
        /// The section.
        section: SectionId,
    },
    /// A section that says something about the inside of copied code, of a kind that is not known.
    UnknownSpecial {
        /// The section.
        section: SectionId,
        /// The function.
        function: SymbolId,
    },
    /// Copied bytes refer to code without a symbol.
    UnnamedCode {
        /// Section of the code.
        section: SectionId,
        /// Offset in it.
        offset: u64,
    },
    /// Copied bytes refer to a place of which it is not known how far it reaches.
    UnknownEnd {
        /// Section of the place.
        section: SectionId,
        /// Offset in it.
        offset: u64,
    },
    /// A static key or a static call of a module: it is looked up when that module is there, and that is too late for the
    /// branches of the code.
    KeyInModule {
        /// The special section, `__jump_table` or `.static_call_sites`.
        section: SectionId,
        /// The key.
        key: SymbolId,
    },
    /// A constant that the kernel writes into its instructions while it starts, which no module can have.
    RuntimeConstant {
        /// The section that lists the instructions.
        section: SectionId,
        /// The function.
        function: SymbolId,
    },
    /// It cannot be told which of several symbols of its name is meant.
    Position {
        /// The symbol after the change.
        symbol: SymbolId,
    },
}
