//! [`Object`]: a file with its indices.

use alloc::vec::Vec;

use object::Endianness;
use object::elf::{self, FileType, Machine};

use crate::error::{Error, Table};
use crate::places::Places;
use crate::read::{
    count_of, entries_of, read_header, read_relocs, read_section_headers, read_sections,
    read_symbols, the_one,
};
use crate::relocs::{RelocTable, Relocs};
use crate::section::{Section, SectionId};
use crate::symbol::{Symbol, SymbolId};

/// What the ELF header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Byte order of the file.
    pub endian: Endianness,
    /// `EI_OSABI`.
    pub os_abi: u8,
    /// `EI_ABIVERSION`.
    pub abi_version: u8,
    /// `e_type`.
    pub kind: FileType,
    /// `e_machine`.
    pub machine: Machine,
    /// `e_flags`.
    pub flags: u32,
    /// `e_entry`.
    pub entry: u64,
}

/// A 64-bit ELF file with its indices; borrows the file.
#[derive(Clone, Debug)]
pub struct Object<'d> {
    header: Header,
    sections: Vec<Section<'d>>,
    symbols: Vec<Symbol<'d>>,
    places: Places,
    /// By the section that the relocations apply to.
    relocs: Vec<RelocTable<'d>>,
    symbol_table: Option<SectionId>,
}

impl<'d> Object<'d> {
    /// Reads the tables of a file.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: the first thing that is wrong.
    pub fn parse(data: &'d [u8]) -> Result<Self, Error> {
        let (file, header) = read_header(data)?;
        let headers = read_section_headers(data, file, header.endian)?;
        let sections = read_sections(data, file, headers, header.endian)?;
        let symbol_table = the_one(&sections, elf::SHT_SYMTAB, Table::Symbols)?;
        let symbols = match symbol_table {
            Some(table) => read_symbols(&sections, table, header.endian)?,
            None => Vec::new(),
        };
        let relocs = read_relocs(&sections, symbol_table, symbols.len(), header)?;
        let places = Places::new(&symbols, sections.len());
        Ok(Self {
            header,
            sections,
            symbols,
            places,
            relocs,
            symbol_table,
        })
    }

    /// What the ELF header says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Every section, number 0 first.
    #[must_use]
    pub fn sections(&self) -> &[Section<'d>] {
        &self.sections
    }

    /// Every section with its number.
    pub fn sections_with_ids(&self) -> impl Iterator<Item = (SectionId, &Section<'d>)> {
        (0..).map(SectionId).zip(&self.sections)
    }

    /// A section by number.
    #[must_use]
    #[inline]
    pub fn section(&self, id: SectionId) -> Option<&Section<'d>> {
        self.sections.get(usize::try_from(id.0).ok()?)
    }

    /// The first section of a name.
    #[must_use]
    pub fn section_named(&self, name: &str) -> Option<(SectionId, &Section<'d>)> {
        self.sections_with_ids()
            .find(|(_, section)| section.name == name)
    }

    /// Every symbol, number 0 first.
    #[must_use]
    pub fn symbols(&self) -> &[Symbol<'d>] {
        &self.symbols
    }

    /// Every symbol with its number.
    pub fn symbols_with_ids(&self) -> impl Iterator<Item = (SymbolId, &Symbol<'d>)> {
        (0..).map(SymbolId).zip(&self.symbols)
    }

    /// A symbol by number.
    #[must_use]
    #[inline]
    pub fn symbol(&self, id: SymbolId) -> Option<&Symbol<'d>> {
        self.symbols.get(usize::try_from(id.0).ok()?)
    }

    /// The section a symbol is in.
    #[must_use]
    #[inline]
    pub fn section_of(&self, symbol: &Symbol<'_>) -> Option<&Section<'d>> {
        self.section(symbol.place.section()?)
    }

    /// The section with the symbols.
    #[must_use]
    pub const fn symbol_table(&self) -> Option<SectionId> {
        self.symbol_table
    }

    /// Symbols of a section by ascending offset, without section and file symbols.
    #[must_use]
    #[inline]
    pub fn symbols_in(&self, section: SectionId) -> &[SymbolId] {
        self.places.in_section(section)
    }

    /// The symbol whose bytes contain an offset; of several the smallest, then the last of the symbol table.
    #[must_use]
    #[inline]
    pub fn symbol_containing(&self, section: SectionId, offset: u64) -> Option<SymbolId> {
        self.places.containing(section, offset)
    }

    /// Relocations that apply to a section, those of a livepatch module's second kind left out.
    #[must_use]
    #[inline]
    pub fn relocs(&self, section: SectionId) -> Relocs<'_> {
        usize::try_from(section.0)
            .ok()
            .and_then(|at| self.relocs.get(at))
            .map_or_else(Relocs::none, |table| table.relocs(self.header.endian))
    }

    /// Entries of a relocation section in the order of the file, livepatch relocations included.
    ///
    /// # Errors
    ///
    /// When it is none, or has entries of another size.
    pub fn relocation_section(&self, id: SectionId) -> Result<Relocs<'d>, Error> {
        let section = self
            .section(id)
            .filter(|section| section.kind == elf::SHT_RELA);
        let section = section.ok_or_else(|| Error::SectionIndex {
            table: Table::Relocations,
            entry: 0,
            found: id.0,
            count: count_of(self.sections.len()),
        })?;
        let entries = entries_of(section, id, Table::Relocations)?;
        Ok(Relocs::in_file(entries, self.header.endian))
    }
}
