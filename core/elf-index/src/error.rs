//! What can be wrong with a file.

use core::fmt;

/// A table of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Table {
    /// The ELF header.
    Header,
    /// The section headers.
    Sections,
    /// The names of the sections.
    SectionNames,
    /// The symbols.
    Symbols,
    /// The names of the symbols.
    SymbolNames,
    /// The section numbers of symbols that need more than 16 bits.
    ExtendedNumbers,
    /// A relocation section.
    Relocations,
    /// The contents of a section.
    Contents,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "ELF header",
            Self::Sections => "section headers",
            Self::SectionNames => "section names",
            Self::Symbols => "symbol table",
            Self::SymbolNames => "symbol names",
            Self::ExtendedNumbers => "extended section numbers",
            Self::Relocations => "relocations",
            Self::Contents => "contents",
        })
    }
}

/// A file that is not what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an ELF file.
    #[error("no ELF file: it does not start with \\x7fELF")]
    Magic,
    /// Another class, byte order or version.
    #[error(
        "ELF identification class {class}, byte order {order}, version {version}: only 64-bit files of version 1 are read"
    )]
    Identification {
        /// `EI_CLASS`.
        class: u8,
        /// `EI_DATA`.
        order: u8,
        /// `EI_VERSION`.
        version: u8,
    },
    /// A part lies outside of the file.
    #[error(
        "{table} of section {section}: {len:#x} bytes at offset {offset:#x} are not in a file of {file:#x} bytes"
    )]
    Outside {
        /// What was to be read.
        table: Table,
        /// Index of the section it belongs to; 0 for the file itself.
        section: u32,
        /// Offset in the file.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes of the file.
        file: u64,
    },
    /// Entries of another size.
    #[error("{table} of section {section}: entries of {found} bytes, expected {expected}")]
    EntrySize {
        /// Which table.
        table: Table,
        /// Index of the section.
        section: u32,
        /// Size found.
        found: u64,
        /// Size expected.
        expected: u64,
    },
    /// An index of a section that is not there, or not of the kind it must be.
    #[error(
        "{table}: entry {entry} names section {found} of {count}, which is not there or of another kind"
    )]
    SectionIndex {
        /// The table with the index.
        table: Table,
        /// Number of the entry in it.
        entry: u64,
        /// Index found.
        found: u32,
        /// Number of sections.
        count: u32,
    },
    /// A relocation against a symbol that is not there.
    #[error("relocation {entry} of section {section}: symbol {found} of {count}")]
    SymbolIndex {
        /// Relocation section.
        section: u32,
        /// Number of the relocation.
        entry: u64,
        /// Index found.
        found: u32,
        /// Number of symbols.
        count: u32,
    },
    /// A name that does not end in its table, or is not UTF-8.
    #[error(
        "{table}: name of entry {entry} at offset {offset:#x} does not end there or is not UTF-8"
    )]
    Name {
        /// The table of names.
        table: Table,
        /// Number of the section or symbol.
        entry: u64,
        /// Offset in the table of names.
        offset: u32,
    },
    /// More of something than there can be one of.
    #[error("{table}: section {second} besides section {first}")]
    Twice {
        /// What there are two of.
        table: Table,
        /// First section.
        first: u32,
        /// Second section.
        second: u32,
    },
    /// Relocations without addends.
    #[error(
        "section {section} has relocations without addends (SHT_REL), which no supported architecture has"
    )]
    WithoutAddends {
        /// The relocation section.
        section: u32,
    },
    /// More entries than 32 bits count.
    #[error("{table}: {count} entries are more than 32 bits count")]
    TooMany {
        /// Which table.
        table: Table,
        /// Entries.
        count: u64,
    },
}
