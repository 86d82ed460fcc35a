//! [`Image`]: a relocatable ELF file in the making.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use object::Endianness;
use object::elf::{
    ELFOSABI_NONE, EM_X86_64, ET_REL, FileFlags, RelocationType, SHF_INFO_LINK, SHN_UNDEF,
    SHT_NOBITS, SHT_RELA, SectionFlags, SectionType, SymbolInfo, SymbolOther,
};
use object::write::StringId;
use object::write::elf::{FileHeader, Rel, SectionHeader, SectionIndex, Sym, Writer};

use crate::error::Error;

/// Number of a section of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SectionNumber(pub(crate) usize);

/// Number of a symbol of an image, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SymbolNumber(pub(crate) usize);

/// A section.
#[derive(Clone, Debug)]
pub(crate) struct ImageSection<'d> {
    pub(crate) name: Cow<'d, str>,
    pub(crate) kind: SectionType,
    pub(crate) flags: SectionFlags,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
    /// Bytes; of `SHT_NOBITS` there are none.
    pub(crate) data: Vec<u8>,
    /// Bytes in memory.
    pub(crate) size: u64,
    pub(crate) relocs: Vec<ImageReloc>,
}

/// A relocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageReloc {
    pub(crate) offset: u64,
    pub(crate) symbol: SymbolNumber,
    pub(crate) kind: u32,
    pub(crate) addend: i64,
}

/// A symbol.
#[derive(Clone, Debug)]
pub(crate) struct ImageSymbol<'d> {
    pub(crate) name: Cow<'d, str>,
    /// Its section; `None` when another file defines it.
    pub(crate) section: Option<SectionNumber>,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) kind: elf_index::SymbolKind,
    pub(crate) binding: elf_index::Binding,
    pub(crate) other: u8,
}

/// A relocatable file for x86-64.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image<'d> {
    pub(crate) sections: Vec<ImageSection<'d>>,
    pub(crate) symbols: Vec<ImageSymbol<'d>>,
}

/// What was reserved for a section.
#[derive(Clone, Copy, Debug)]
struct Placed {
    name: StringId,
    index: SectionIndex,
    offset: u64,
    relocs: Option<PlacedRelocs>,
}

#[derive(Clone, Copy, Debug)]
struct PlacedRelocs {
    name: StringId,
    offset: u64,
}

impl<'d> Image<'d> {
    pub(crate) fn add_section(&mut self, section: ImageSection<'d>) -> SectionNumber {
        self.sections.push(section);
        SectionNumber(self.sections.len().saturating_sub(1))
    }

    pub(crate) fn add_symbol(&mut self, symbol: ImageSymbol<'d>) -> SymbolNumber {
        self.symbols.push(symbol);
        SymbolNumber(self.symbols.len().saturating_sub(1))
    }

    /// The bytes of the file.
    pub(crate) fn write(&self) -> Result<Vec<u8>, Error> {
        let rela_names: Vec<String> = self
            .sections
            .iter()
            .map(|section| format!(".rela{}", section.name))
            .collect();
        let (order, number_of) = self.symbol_order();
        let mut bytes = Vec::new();
        let mut writer = Writer::new(Endianness::Little, true, &mut bytes);
        writer.reserve_file_header();
        let _null = writer.reserve_null_section_index();
        let placed = self.reserve_sections(&mut writer, &rela_names);
        let names: Vec<Option<StringId>> = order
            .iter()
            .map(|symbol| {
                let name = symbol.name.as_bytes();
                (!name.is_empty()).then(|| writer.add_string(name))
            })
            .collect();
        let _null = writer.reserve_null_symbol_index();
        for symbol in &order {
            let section = symbol.section.and_then(|number| placed.get(number.0));
            let _sequential = writer.reserve_symbol_index(section.map(|it| it.index));
        }
        let symtab = writer.reserve_symtab_section_index();
        if writer.symtab_shndx_needed() {
            let _index = writer.reserve_symtab_shndx_section_index();
        }
        let _index = writer.reserve_strtab_section_index();
        let _index = writer.reserve_shstrtab_section_index();
        writer.reserve_symtab();
        writer.reserve_symtab_shndx();
        writer.reserve_strtab().map_err(Error::Write)?;
        writer.reserve_shstrtab().map_err(Error::Write)?;
        writer.reserve_section_headers();
        writer
            .write_file_header(&FileHeader {
                os_abi: ELFOSABI_NONE,
                abi_version: 0,
                e_type: ET_REL,
                e_machine: EM_X86_64,
                e_entry: 0,
                e_flags: FileFlags(0),
            })
            .map_err(Error::Write)?;
        self.write_contents(&mut writer, &placed, &number_of);
        write_symbols(&mut writer, &order, &names, &placed);
        let locals = order.iter().filter(|symbol| symbol.is_local()).count();
        let locals = u32::try_from(locals.saturating_add(1)).unwrap_or(u32::MAX);
        writer.write_symtab_shndx();
        writer.write_strtab();
        writer.write_shstrtab();
        writer.write_null_section_header();
        self.write_headers(&mut writer, &placed, symtab);
        writer.write_symtab_section_header(locals);
        writer.write_symtab_shndx_section_header();
        writer.write_strtab_section_header();
        writer.write_shstrtab_section_header();
        Ok(bytes)
    }

    /// Symbols as a file must have them, local ones first; and the number in the file of each.
    fn symbol_order(&self) -> (Vec<&ImageSymbol<'d>>, Vec<u32>) {
        let mut order: Vec<usize> = (0..self.symbols.len()).collect();
        let symbol = |at: usize| self.symbols.get(at);
        order.sort_by_key(|at| symbol(*at).is_none_or(|symbol| !symbol.is_local()));
        let mut number_of = vec![0; self.symbols.len()];
        for (at, number) in order.iter().zip(1_u32..) {
            if let Some(slot) = number_of.get_mut(*at) {
                *slot = number;
            }
        }
        let order = order.into_iter().filter_map(symbol).collect();
        (order, number_of)
    }

    fn reserve_sections<'n>(
        &'n self,
        writer: &mut Writer<'n>,
        rela_names: &'n [String],
    ) -> Vec<Placed> {
        let mut placed = Vec::new();
        for (section, rela_name) in self.sections.iter().zip(rela_names) {
            let index = writer.reserve_section_index();
            let name = writer.add_section_name(section.name.as_bytes());
            let len = u64::try_from(section.data.len()).unwrap_or(u64::MAX);
            let offset = writer.reserve(len, section.align.max(1));
            let relocs = (!section.relocs.is_empty()).then(|| {
                let _behind = writer.reserve_section_index();
                PlacedRelocs {
                    name: writer.add_section_name(rela_name.as_bytes()),
                    offset: writer.reserve_relocations(section.relocs.len(), true),
                }
            });
            placed.push(Placed {
                name,
                index,
                offset,
                relocs,
            });
        }
        placed
    }

    fn write_contents(&self, writer: &mut Writer<'_>, placed: &[Placed], number_of: &[u32]) {
        for (section, placed) in self.sections.iter().zip(placed) {
            writer.pad_until(placed.offset);
            writer.write(&section.data);
            if placed.relocs.is_none() {
                continue;
            }
            writer.write_align_relocation();
            for reloc in &section.relocs {
                writer.write_relocation(
                    true,
                    &Rel {
                        r_offset: reloc.offset,
                        r_sym: number_of.get(reloc.symbol.0).copied().unwrap_or(0),
                        r_type: RelocationType(reloc.kind),
                        r_addend: reloc.addend,
                    },
                );
            }
        }
    }

    fn write_headers(&self, writer: &mut Writer<'_>, placed: &[Placed], symtab: SectionIndex) {
        for (section, placed) in self.sections.iter().zip(placed) {
            let sh_name = writer.section_name_offset(Some(placed.name));
            writer.write_section_header(&SectionHeader {
                sh_name,
                sh_type: section.kind,
                sh_flags: section.flags,
                sh_addr: 0,
                sh_offset: placed.offset,
                sh_size: section.size,
                sh_link: 0,
                sh_info: 0,
                sh_addralign: section.align,
                sh_entsize: section.entry_size,
            });
            if let Some(relocs) = placed.relocs {
                let count = u64::try_from(section.relocs.len()).unwrap_or(u64::MAX);
                let sh_name = writer.section_name_offset(Some(relocs.name));
                writer.write_section_header(&SectionHeader {
                    sh_name,
                    sh_type: SHT_RELA,
                    sh_flags: SHF_INFO_LINK,
                    sh_addr: 0,
                    sh_offset: relocs.offset,
                    sh_size: count.saturating_mul(RELA_BYTES),
                    sh_link: symtab.0,
                    sh_info: placed.index.0,
                    sh_addralign: 8,
                    sh_entsize: RELA_BYTES,
                });
            }
        }
    }
}

/// Bytes of `Elf64_Rela`.
pub(crate) const RELA_BYTES: u64 = 24;

fn write_symbols(
    writer: &mut Writer<'_>,
    order: &[&ImageSymbol<'_>],
    names: &[Option<StringId>],
    placed: &[Placed],
) {
    writer.write_null_symbol();
    for (symbol, name) in order.iter().zip(names) {
        let section = symbol.section.and_then(|number| placed.get(number.0));
        let st_name = writer.string_offset(*name);
        writer.write_symbol(&Sym {
            section: section.map(|it| it.index.0),
            st_name,
            st_info: SymbolInfo(symbol.binding.0 << 4 | symbol.kind.0 & 0xf),
            st_other: SymbolOther(symbol.other),
            st_shndx: SHN_UNDEF,
            st_value: symbol.value,
            st_size: symbol.size,
        });
    }
}

impl ImageSymbol<'_> {
    fn is_local(&self) -> bool {
        self.binding == elf_index::Binding::LOCAL
    }
}

impl ImageSection<'_> {
    /// Appends bytes, and returns their offset.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> u64 {
        let offset = self.size;
        self.data.extend_from_slice(bytes);
        self.size = self
            .size
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        offset
    }

    /// Appends zeros that take no place in the file where the section has no bytes there.
    pub(crate) fn append_zeros(&mut self, count: u64) {
        self.size = self.size.saturating_add(count);
        if self.kind != SHT_NOBITS {
            let len = usize::try_from(self.size).unwrap_or(self.data.len());
            self.data.resize(len, 0);
        }
    }
}
