//! The tables of a file, each number checked where it is read.

use alloc::vec;
use alloc::vec::Vec;

use object::elf::{self, FileHeader64, SectionHeader64, SectionType, Sym64, SymbolSection};
use object::{Endianness, U32};

use crate::error::{Error, Table};
use crate::object::Header;
use crate::relocs::{RelocTable, Relocs};
use crate::section::{Section, SectionId};
use crate::symbol::{Binding, Symbol, SymbolKind, SymbolPlace};
use crate::tables::{Extent, name};

/// `SHF_RELA_LIVEPATCH`: a second relocation section of a section, which linkers do not know.
const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;

pub(crate) fn read_header(data: &[u8]) -> Result<(&FileHeader64<Endianness>, Header), Error> {
    let extent = Extent {
        table: Table::Header,
        section: 0,
        offset: 0,
        len: u64::try_from(size_of::<FileHeader64<Endianness>>()).unwrap_or(u64::MAX),
    };
    if !data.starts_with(&elf::ELFMAG) {
        return Err(Error::Magic);
    }
    let headers: &[FileHeader64<Endianness>] = extent.entries(data)?;
    let file = headers.first().ok_or(Error::Magic)?;
    let ident = &file.e_ident;
    let wrong = Error::Identification {
        class: ident.class.0,
        order: ident.data.0,
        version: ident.version.0,
    };
    let endian = match ident.data {
        elf::ELFDATA2LSB => Endianness::Little,
        elf::ELFDATA2MSB => Endianness::Big,
        _ => return Err(wrong),
    };
    if ident.class != elf::ELFCLASS64 || ident.version != elf::EV_CURRENT {
        return Err(wrong);
    }
    let header = Header {
        endian,
        os_abi: ident.os_abi.0,
        abi_version: ident.abi_version,
        kind: file.e_type.get(endian),
        machine: file.e_machine.get(endian),
        flags: file.e_flags.get(endian).0,
        entry: file.e_entry.get(endian),
    };
    Ok((file, header))
}

/// With more than 65,279 sections their number is in `sh_size` of section 0.
pub(crate) fn read_section_headers<'d>(
    data: &'d [u8],
    file: &FileHeader64<Endianness>,
    endian: Endianness,
) -> Result<&'d [SectionHeader64<Endianness>], Error> {
    let entry = size_of::<SectionHeader64<Endianness>>();
    let entry = u64::try_from(entry).unwrap_or(u64::MAX);
    let offset = file.e_shoff.get(endian);
    if offset == 0 {
        return Ok(&[]);
    }
    let found = u64::from(file.e_shentsize.get(endian));
    if found != entry {
        return Err(Error::EntrySize {
            table: Table::Sections,
            section: 0,
            found,
            expected: entry,
        });
    }
    let headers = |count: u64| {
        let extent = Extent {
            table: Table::Sections,
            section: 0,
            offset,
            len: count.saturating_mul(entry),
        };
        extent.entries::<SectionHeader64<Endianness>>(data)
    };
    let mut count = u64::from(file.e_shnum.get(endian));
    if count == 0 {
        let first = headers(1)?;
        count = first.first().map_or(0, |first| first.sh_size.get(endian));
    }
    if u32::try_from(count).is_err() {
        return Err(Error::TooMany {
            table: Table::Sections,
            count,
        });
    }
    headers(count)
}

pub(crate) fn read_sections<'d>(
    data: &'d [u8],
    file: &FileHeader64<Endianness>,
    headers: &[SectionHeader64<Endianness>],
    endian: Endianness,
) -> Result<Vec<Section<'d>>, Error> {
    let mut names = u32::from(file.e_shstrndx.get(endian).0);
    if names == u32::from(elf::SHN_XINDEX.0) {
        names = headers.first().map_or(0, |first| first.sh_link.get(endian));
    }
    let names = match usize::try_from(names).ok().and_then(|at| headers.get(at)) {
        Some(header) if names != 0 => contents(data, header, names, Table::SectionNames, endian)?,
        _ if names == 0 => &[],
        _ => {
            return Err(Error::SectionIndex {
                table: Table::Header,
                entry: 0,
                found: names,
                count: count_of(headers.len()),
            });
        }
    };
    let mut sections = Vec::with_capacity(headers.len());
    for (header, index) in headers.iter().zip(0_u32..) {
        // Section 0 holds what did not fit into the header.
        let data = match index {
            0 => &[],
            _ => contents(data, header, index, Table::Contents, endian)?,
        };
        sections.push(Section {
            name: name(
                names,
                header.sh_name.get(endian),
                Table::SectionNames,
                u64::from(index),
            )?,
            kind: header.sh_type.get(endian),
            flags: header.sh_flags.get(endian),
            address: header.sh_addr.get(endian),
            offset: header.sh_offset.get(endian),
            size: header.sh_size.get(endian),
            link: header.sh_link.get(endian),
            info: header.sh_info.get(endian),
            align: header.sh_addralign.get(endian),
            entry_size: header.sh_entsize.get(endian),
            data,
        });
    }
    Ok(sections)
}

fn contents<'d>(
    data: &'d [u8],
    header: &SectionHeader64<Endianness>,
    section: u32,
    table: Table,
    endian: Endianness,
) -> Result<&'d [u8], Error> {
    if matches!(header.sh_type.get(endian), elf::SHT_NOBITS | elf::SHT_NULL) {
        return Ok(&[]);
    }
    let extent = Extent {
        table,
        section,
        offset: header.sh_offset.get(endian),
        len: header.sh_size.get(endian),
    };
    extent.bytes(data)
}

/// The only section of a type that a file may have one of.
pub(crate) fn the_one(
    sections: &[Section<'_>],
    kind: SectionType,
    table: Table,
) -> Result<Option<SectionId>, Error> {
    let mut found = (0_u32..)
        .zip(sections)
        .filter(|(_, section)| section.kind == kind)
        .map(|(index, _)| index);
    let first = found.next();
    match (first, found.next()) {
        (Some(first), Some(second)) => Err(Error::Twice {
            table,
            first,
            second,
        }),
        (first, _) => Ok(first.map(SectionId)),
    }
}

pub(crate) fn entries_of<'d, T: object::Pod>(
    section: &Section<'d>,
    index: SectionId,
    table: Table,
) -> Result<&'d [T], Error> {
    let expected = u64::try_from(size_of::<T>()).unwrap_or(u64::MAX);
    if section.entry_size != expected {
        return Err(Error::EntrySize {
            table,
            section: index.0,
            found: section.entry_size,
            expected,
        });
    }
    let extent = Extent {
        table,
        section: index.0,
        offset: 0,
        len: u64::try_from(section.data.len()).unwrap_or(u64::MAX),
    };
    extent.entries(section.data)
}

pub(crate) fn read_symbols<'d>(
    sections: &[Section<'d>],
    table: SectionId,
    endian: Endianness,
) -> Result<Vec<Symbol<'d>>, Error> {
    let at = |index: u32| usize::try_from(index).ok().and_then(|at| sections.get(at));
    let Some(section) = at(table.0) else {
        return Ok(Vec::new());
    };
    let entries: &[Sym64<Endianness>] = entries_of(section, table, Table::Symbols)?;
    if u32::try_from(entries.len()).is_err() {
        return Err(Error::TooMany {
            table: Table::Symbols,
            count: u64::try_from(entries.len()).unwrap_or(u64::MAX),
        });
    }
    let names = at(section.link)
        .filter(|names| names.kind == elf::SHT_STRTAB)
        .ok_or(Error::SectionIndex {
            table: Table::Symbols,
            entry: 0,
            found: section.link,
            count: count_of(sections.len()),
        })?;
    let extended = (0_u32..)
        .zip(sections)
        .find(|(_, other)| other.kind == elf::SHT_SYMTAB_SHNDX && other.link == table.0);
    let extended: &[U32<Endianness>] = match extended {
        Some((index, other)) => entries_of(other, SectionId(index), Table::ExtendedNumbers)?,
        None => &[],
    };
    let count = count_of(sections.len());
    let mut symbols = Vec::with_capacity(entries.len());
    for (entry, index) in entries.iter().zip(0_usize..) {
        let number = u64::try_from(index).unwrap_or(u64::MAX);
        let long = extended.get(index).map(|number| number.get(endian));
        let info = entry.st_info.0;
        symbols.push(Symbol {
            name: name(
                names.data,
                entry.st_name.get(endian),
                Table::SymbolNames,
                number,
            )?,
            value: entry.st_value.get(endian),
            size: entry.st_size.get(endian),
            place: place(entry.st_shndx.get(endian), long, number, count)?,
            kind: SymbolKind(info & 0xf),
            binding: Binding(info >> 4),
            other: entry.st_other.0,
        });
    }
    Ok(symbols)
}

fn place(
    short: SymbolSection,
    long: Option<u32>,
    entry: u64,
    count: u32,
) -> Result<SymbolPlace, Error> {
    let section = match short {
        elf::SHN_UNDEF => return Ok(SymbolPlace::Undefined),
        elf::SHN_ABS => return Ok(SymbolPlace::Absolute),
        elf::SHN_XINDEX => long.unwrap_or(u32::MAX),
        SymbolSection(elf::SHN_LORESERVE..) => return Ok(SymbolPlace::Reserved(short.0)),
        SymbolSection(section) => u32::from(section),
    };
    if section >= count {
        return Err(Error::SectionIndex {
            table: Table::Symbols,
            entry,
            found: section,
            count,
        });
    }
    Ok(SymbolPlace::Section(SectionId(section)))
}

pub(crate) fn read_relocs<'d>(
    sections: &[Section<'d>],
    symbol_table: Option<SectionId>,
    symbols: usize,
    header: Header,
) -> Result<Vec<RelocTable<'d>>, Error> {
    let mut tables: Vec<RelocTable<'d>> = Vec::new();
    tables.resize_with(sections.len(), || RelocTable::None);
    let mut owners = vec![0_u32; sections.len()];
    for (section, index) in sections.iter().zip(0_u32..) {
        // Those of a linked program belong to its dynamic symbols; those of a livepatch are its own.
        let is_normal = header.kind == elf::ET_REL && section.flags.0 & SHF_RELA_LIVEPATCH == 0;
        if !is_normal || section.size == 0 {
            continue;
        }
        match section.kind {
            elf::SHT_REL => return Err(Error::WithoutAddends { section: index }),
            elf::SHT_RELA => {}
            _ => continue,
        }
        let wrong = |found| Error::SectionIndex {
            table: Table::Relocations,
            entry: u64::from(index),
            found,
            count: count_of(sections.len()),
        };
        if Some(SectionId(section.link)) != symbol_table {
            return Err(wrong(section.link));
        }
        let target = usize::try_from(section.info).unwrap_or(usize::MAX);
        let slot = tables.get_mut(target).ok_or(wrong(section.info))?;
        let owner = owners.get_mut(target).ok_or(wrong(section.info))?;
        if *owner != 0 || section.info == 0 {
            return Err(Error::Twice {
                table: Table::Relocations,
                first: *owner,
                second: index,
            });
        }
        *owner = index;
        let entries = entries_of(section, SectionId(index), Table::Relocations)?;
        let table = RelocTable::new(entries, header.endian);
        check_symbols(table.relocs(header.endian), index, symbols)?;
        *slot = table;
    }
    Ok(tables)
}

fn check_symbols(relocs: Relocs<'_>, section: u32, symbols: usize) -> Result<(), Error> {
    let count = count_of(symbols);
    for (reloc, entry) in relocs.iter().zip(0_u64..) {
        if reloc.symbol.0 >= count {
            return Err(Error::SymbolIndex {
                section,
                entry,
                found: reloc.symbol.0,
                count,
            });
        }
    }
    Ok(())
}

pub(crate) fn count_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
