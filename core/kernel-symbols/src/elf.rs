//! ELF files of kernels and modules: sections, and the one symbol table.

use alloc::vec::Vec;

use object::elf::{
    FileHeader64, FileType, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHN_ABS, SHN_UNDEF, SHT_NOBITS,
    SHT_SYMTAB, STB_WEAK, STT_OBJECT, SectionFlags, SectionType, SymbolBind, SymbolSection,
    SymbolType,
};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::{Endianness, SectionIndex};

/// Why a file is none that symbols can be read from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// No 64-bit ELF file, or a damaged one.
    #[error("read the ELF file of {bytes} bytes: {source}")]
    Malformed {
        /// Length of the file.
        bytes: usize,
        /// What is wrong.
        source: object::read::Error,
    },
    /// A file of another type.
    #[error("use an ELF file of type {found}: {expected} is needed")]
    Type {
        /// `e_type`.
        found: u16,
        /// What is needed.
        expected: &'static str,
    },
    /// It was stripped.
    #[error("read symbols: the file has no symbol table")]
    NoSymbols,
    /// A symbol's name is not in the string table.
    #[error(
        "read the name of symbol {symbol}: it is at {offset:#x} of a string table of {bytes} bytes"
    )]
    Name {
        /// Number of the symbol.
        symbol: usize,
        /// `st_name`.
        offset: u32,
        /// Length of the string table.
        bytes: usize,
    },
    /// A module that no kernel would load.
    #[error(
        "lay out section {section}: {size_bytes:#x} bytes aligned to {align:#x}; all of a module is less than 1 GiB, and in its file"
    )]
    SectionSize {
        /// Number of the section.
        section: usize,
        /// `sh_size`.
        size_bytes: u64,
        /// `sh_addralign`.
        align: u64,
    },
    /// More than a table can hold.
    #[error("read {symbols} symbols: a table has at most 2^30")]
    TooLarge {
        /// Symbols.
        symbols: usize,
    },
}

/// A section, as far as symbols care.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'d> {
    pub(crate) name: &'d [u8],
    pub(crate) kind: SectionType,
    pub(crate) flags: SectionFlags,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
    pub(crate) info: u32,
    pub(crate) link: u32,
}

impl Section<'_> {
    pub(crate) const fn has(&self, flag: SectionFlags) -> bool {
        self.flags.0 & flag.0 != 0
    }

    /// The bytes of the section in its file; none when it has none, or they are not there.
    pub(crate) fn data<'d>(&self, file: &'d [u8]) -> &'d [u8] {
        if self.kind == SHT_NOBITS {
            return &[];
        }
        let start = usize::try_from(self.offset).ok();
        let length = usize::try_from(self.size).ok();
        start
            .zip(length)
            .and_then(|(start, length)| file.get(start..start.checked_add(length)?))
            .unwrap_or_default()
    }

    /// The letter of a local symbol in it, as `nm` has it.
    fn letter(&self) -> u8 {
        match () {
            () if self.has(SHF_EXECINSTR) => b't',
            () if self.kind == SHT_NOBITS => b'b',
            () if self.has(SHF_ALLOC) && self.has(SHF_WRITE) => b'd',
            () if self.has(SHF_ALLOC) => b'r',
            () if self.name.starts_with(b".debug") => b'n',
            () => b'?',
        }
    }
}

/// An entry of the symbol table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawSymbol {
    pub(crate) name: u32,
    pub(crate) section: SymbolSection,
    pub(crate) binding: SymbolBind,
    pub(crate) kind: SymbolType,
    pub(crate) value: u64,
}

impl RawSymbol {
    pub(crate) fn is_undefined(self) -> bool {
        self.section == SHN_UNDEF
    }

    /// The letter of a local symbol like it (`elf_type`, `kernel/module/kallsyms.c`, v7.3).
    pub(crate) fn letter(self, sections: &[Section<'_>]) -> u8 {
        if self.binding == STB_WEAK {
            return if self.kind == STT_OBJECT { b'v' } else { b'w' };
        }
        match self.section {
            SHN_UNDEF => b'U',
            SHN_ABS => b'a',
            section if section.is_reserved() => b'?',
            section => sections
                .get(usize::from(section.0))
                .map_or(b'?', Section::letter),
        }
    }
}

/// A file, read.
#[derive(Clone, Debug)]
pub(crate) struct ElfFile<'d> {
    pub(crate) file: &'d [u8],
    pub(crate) kind: FileType,
    pub(crate) endian: Endianness,
    pub(crate) sections: Vec<Section<'d>>,
    pub(crate) symbols: &'d [object::elf::Sym64<Endianness>],
    pub(crate) strings: &'d [u8],
    /// `sh_addralign` of the symbol table.
    pub(crate) symbols_align: u64,
}

impl<'d> ElfFile<'d> {
    pub(crate) fn parse(file: &'d [u8]) -> Result<Self, ElfError> {
        let bytes = file.len();
        let malformed = |source| ElfError::Malformed { bytes, source };
        let header = FileHeader64::<Endianness>::parse(file).map_err(malformed)?;
        let endian = header.endian().map_err(malformed)?;
        let table = header.sections(endian, file).map_err(malformed)?;
        let mut sections = Vec::with_capacity(table.len());
        for section in table.iter() {
            sections.push(Section {
                name: table.section_name(endian, section).map_err(malformed)?,
                kind: section.sh_type(endian),
                flags: section.sh_flags(endian),
                address: section.sh_addr(endian),
                offset: section.sh_offset(endian),
                size: section.sh_size(endian),
                align: section.sh_addralign(endian),
                info: section.sh_info(endian),
                link: section.sh_link(endian),
            });
        }
        let symbols = table.symbols(endian, file, SHT_SYMTAB).map_err(malformed)?;
        let SectionIndex(number) = symbols.section();
        let symbols_align = sections.get(number).ok_or(ElfError::NoSymbols)?.align;
        if number == 0 || symbols.is_empty() {
            return Err(ElfError::NoSymbols);
        }
        let strings = sections
            .get(number)
            .and_then(|it| sections.get(usize::try_from(it.link).ok()?));
        let parsed = Self {
            file,
            kind: header.e_type(endian),
            endian,
            strings: strings.map_or(&[], |it| it.data(file)),
            symbols: symbols.symbols(),
            sections,
            symbols_align,
        };
        parsed.check_names()?;
        Ok(parsed)
    }

    fn check_names(&self) -> Result<(), ElfError> {
        let bytes = self.strings.len();
        for (symbol, entry) in self.symbols.iter().enumerate() {
            let offset = entry.st_name(self.endian);
            let is_there = usize::try_from(offset).is_ok_and(|offset| offset < bytes);
            if offset != 0 && !is_there {
                return Err(ElfError::Name {
                    symbol,
                    offset,
                    bytes,
                });
            }
        }
        Ok(())
    }

    /// The entries of the symbol table.
    pub(crate) fn raw_symbols(&self) -> impl ExactSizeIterator<Item = RawSymbol> + use<'_, 'd> {
        let endian = self.endian;
        self.symbols.iter().map(move |entry| RawSymbol {
            name: entry.st_name(endian),
            section: entry.st_shndx(endian),
            binding: entry.st_bind(),
            kind: entry.st_type(),
            value: entry.st_value(endian),
        })
    }

    /// The entry of a number.
    pub(crate) fn raw_symbol(&self, number: u32) -> Option<RawSymbol> {
        self.raw_symbols().nth(usize::try_from(number).ok()?)
    }

    /// The name at an offset of the string table.
    pub(crate) fn string(&self, offset: u32) -> &'d [u8] {
        string(self.strings, offset)
    }

    /// The first section of a name.
    pub(crate) fn section(&self, name: &[u8]) -> Option<(usize, &Section<'d>)> {
        self.sections
            .iter()
            .enumerate()
            .find(|(_, section)| section.name == name)
    }
}

/// A number of 8 bytes.
pub(crate) fn word(bytes: [u8; 8], endian: Endianness) -> u64 {
    match endian {
        Endianness::Little => u64::from_le_bytes(bytes),
        Endianness::Big => u64::from_be_bytes(bytes),
    }
}

/// What is at an offset of a string table, up to its NUL.
fn string(strings: &[u8], offset: u32) -> &[u8] {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| strings.get(offset..));
    let rest = rest.unwrap_or_default();
    rest.get(..crate::name::Ending::Nul.length(rest))
        .unwrap_or_default()
}
