//! The section of a file, with relocations applied, and the symbols beside it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{ObjectKind, RelocationTarget, SectionFlags, SectionIndex, SectionKind, elf};
use sframe_unwind::{Abi, Endian, Placement};

use crate::cli::InputArgs;
use crate::failure::Failure;

/// Where sections of a relocatable file are taken to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All at 0, as objdump shows them.
    AtZero,
    /// One behind the other, so that an address has one meaning.
    OneBehindTheOther,
}

/// A section with what belongs to it.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) bytes: Vec<u8>,
    pub(crate) placement: Placement,
    /// What objdump calls the format; `None` of a section without a file.
    pub(crate) format: Option<String>,
    /// The file's processor, if it is one that SFrame is defined for.
    pub(crate) abi: Option<Abi>,
    /// Code of the file, ascending.
    pub(crate) text: Vec<Range<u64>>,
    /// Whether the section is loaded.
    pub(crate) is_loaded: bool,
    /// Functions of the symbol table, by address.
    pub(crate) functions: Vec<Function>,
}

/// A function of the symbol table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Function {
    pub(crate) start: u64,
    pub(crate) size: u64,
    pub(crate) name: String,
}

impl Input {
    pub(crate) fn read(args: &InputArgs, layout: Layout) -> Result<Self, Failure> {
        let path = &args.file;
        let file = std::fs::read(path).map_err(|source| Failure::Read {
            path: path.clone(),
            source,
        })?;
        if !file.starts_with(b"\x7fELF") {
            return Ok(Self {
                bytes: file,
                placement: Placement {
                    section_addr: args.address,
                },
                format: None,
                abi: None,
                text: Vec::new(),
                is_loaded: true,
                functions: Vec::new(),
            });
        }
        Elf::new(path, &file, layout)?.input(&args.section)
    }

    /// The name of the function at an address.
    pub(crate) fn name(&self, addr: u64) -> Option<&Function> {
        let behind = self
            .functions
            .partition_point(|function| function.start <= addr);
        let function = self.functions.get(behind.checked_sub(1)?)?;
        (addr - function.start < function.size.max(1)).then_some(function)
    }
}

struct Elf<'a> {
    path: &'a Path,
    file: object::File<'a>,
    /// Where sections of a relocatable file are; empty for others.
    addrs: HashMap<SectionIndex, u64>,
}

impl<'a> Elf<'a> {
    fn new(path: &'a Path, bytes: &'a [u8], layout: Layout) -> Result<Self, Failure> {
        let file = object::File::parse(bytes).map_err(|source| Failure::Elf {
            path: path.to_owned(),
            source,
        })?;
        let mut addrs = HashMap::new();
        if file.kind() == ObjectKind::Relocatable && layout == Layout::OneBehindTheOther {
            // Not at 0, where symbols that are nowhere seem to be.
            let mut next = 0x1000_u64;
            for section in file.sections() {
                let align = section.align().max(1);
                let addr = next.checked_next_multiple_of(align).unwrap_or(next);
                addrs.insert(section.index(), addr);
                next = addr.saturating_add(section.size());
            }
        }
        Ok(Self { path, file, addrs })
    }

    fn addr(&self, section: SectionIndex) -> u64 {
        self.addrs.get(&section).copied().unwrap_or(0)
    }

    fn error(&self, source: object::Error) -> Failure {
        Failure::Elf {
            path: self.path.to_owned(),
            source,
        }
    }

    fn input(&self, name: &str) -> Result<Input, Failure> {
        let section = self.file.section_by_name(name);
        let section = section.ok_or_else(|| Failure::NoSection {
            path: self.path.to_owned(),
            name: name.to_owned(),
        })?;
        let data = section.data().map_err(|source| self.error(source))?;
        let section_addr = section.address().wrapping_add(self.addr(section.index()));
        let mut bytes = data.to_vec();
        for (offset, relocation) in section.relocations() {
            self.relocate(&mut bytes, section_addr, offset, &relocation)?;
        }
        Ok(Input {
            bytes,
            placement: Placement { section_addr },
            format: Some(self.format().to_owned()),
            abi: self.abi(),
            text: self.text(),
            is_loaded: matches!(
                section.flags(),
                SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_ALLOC)
            ),
            functions: self.functions(),
        })
    }

    /// A start address: the distance of a symbol from the field.
    fn relocate(
        &self,
        bytes: &mut [u8],
        section_addr: u64,
        offset: u64,
        relocation: &object::Relocation,
    ) -> Result<(), Failure> {
        let unknown = || Failure::Relocation {
            path: self.path.to_owned(),
            offset,
        };
        let target = match relocation.target() {
            RelocationTarget::Symbol(symbol) => {
                let symbol = self
                    .file
                    .symbol_by_index(symbol)
                    .map_err(|source| self.error(source))?;
                let base = symbol
                    .section_index()
                    .map_or(0, |section| self.addr(section));
                base.wrapping_add(symbol.address())
            }
            RelocationTarget::Section(section) => self.addr(section),
            _ => return Err(unknown()),
        };
        let object::RelocationFlags::Elf { r_type } = relocation.flags() else {
            return Err(unknown());
        };
        let len = match (self.file.architecture(), r_type) {
            (object::Architecture::X86_64, elf::R_X86_64_PC32)
            | (object::Architecture::Aarch64, elf::R_AARCH64_PREL32)
            | (object::Architecture::S390x, elf::R_390_PC32) => 4,
            (object::Architecture::X86_64, elf::R_X86_64_PC64)
            | (object::Architecture::Aarch64, elf::R_AARCH64_PREL64)
            | (object::Architecture::S390x, elf::R_390_PC64) => 8,
            _ => return Err(unknown()),
        };
        let field = section_addr.wrapping_add(offset);
        let value = target
            .wrapping_add_signed(relocation.addend())
            .wrapping_sub(field);
        let at = usize::try_from(offset).map_err(|_large| unknown())?;
        let place = bytes
            .get_mut(at..)
            .and_then(|rest| rest.get_mut(..len))
            .ok_or_else(unknown)?;
        match self.endian() {
            Endian::Little => {
                let value = value.to_le_bytes();
                place.copy_from_slice(value.get(..len).ok_or_else(unknown)?);
            }
            Endian::Big => {
                let value = value.to_be_bytes();
                let from = value.len().checked_sub(len).ok_or_else(unknown)?;
                place.copy_from_slice(value.get(from..).ok_or_else(unknown)?);
            }
        }
        Ok(())
    }

    fn text(&self) -> Vec<Range<u64>> {
        let sections = self
            .file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text);
        let ranges = sections.map(|section| {
            let start = section.address().wrapping_add(self.addr(section.index()));
            start..start.saturating_add(section.size())
        });
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_by_key(|range| range.start);
        ranges
    }

    fn endian(&self) -> Endian {
        if self.file.is_little_endian() {
            Endian::Little
        } else {
            Endian::Big
        }
    }

    fn abi(&self) -> Option<Abi> {
        match (self.file.architecture(), self.endian()) {
            (object::Architecture::Aarch64, Endian::Little) => Some(Abi::Aarch64Little),
            (object::Architecture::Aarch64, Endian::Big) => Some(Abi::Aarch64Big),
            (object::Architecture::X86_64, _) => Some(Abi::X86_64),
            (object::Architecture::S390x, _) => Some(Abi::S390x),
            _ => None,
        }
    }

    /// As BFD calls it.
    fn format(&self) -> &'static str {
        match self.abi() {
            Some(Abi::Aarch64Little) => "elf64-littleaarch64",
            Some(Abi::Aarch64Big) => "elf64-bigaarch64",
            Some(Abi::X86_64) => "elf64-x86-64",
            Some(Abi::S390x) => "elf64-s390",
            None => "elf",
        }
    }

    fn functions(&self) -> Vec<Function> {
        let mut functions: Vec<_> = self
            .file
            .symbols()
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_definition())
            .filter(|symbol| symbol.size() > 0)
            .filter_map(|symbol| {
                let section = symbol.section_index()?;
                let kind = self.file.section_by_index(section).ok()?.kind();
                (kind == SectionKind::Text).then(|| Function {
                    start: self.addr(section).wrapping_add(symbol.address()),
                    size: symbol.size(),
                    name: symbol.name().unwrap_or("?").to_owned(),
                })
            })
            .collect();
        functions.sort();
        functions
    }
}
