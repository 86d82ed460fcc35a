//! [`Rewrite`]: a copy of an ELF file with some numbers changed and sections appended.

use alloc::string::String;
use alloc::vec::Vec;

use elf_index::{Object, Reloc, SectionId, SymbolId};
use object::elf::{SHN_LORESERVE, SHN_XINDEX, SHT_PROGBITS, SHT_RELA};

use crate::image::RELA_BYTES;
use crate::link::LinkError;

/// Where numbers are in `Elf64_Ehdr`, `Elf64_Shdr`, `Elf64_Sym` and `Elf64_Rela`.
mod at {
    pub(super) const E_PHOFF: u64 = 32;
    pub(super) const E_SHOFF: u64 = 40;
    pub(super) const E_SHNUM: u64 = 60;
    pub(super) const E_SHSTRNDX: u64 = 62;
    pub(super) const SH_OFFSET: u64 = 24;
    pub(super) const SH_SIZE: u64 = 32;
    pub(super) const ST_SHNDX: u64 = 6;
    pub(super) const R_INFO: u64 = 8;
}

/// Bytes of `Elf64_Ehdr`, `Elf64_Shdr` and `Elf64_Sym`.
const FILE_HEADER_BYTES: u64 = 64;
const HEADER_BYTES: u64 = 64;
const SYMBOL_BYTES: u64 = 24;

/// A section to append.
#[derive(Clone, Debug)]
pub(crate) struct NewSection {
    pub(crate) name: String,
    pub(crate) flags: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) contents: Contents,
}

/// What a new section holds.
#[derive(Clone, Debug)]
pub(crate) enum Contents {
    /// Relocations.
    Relocs(Vec<Reloc>),
    /// Entries of one size.
    Entries { bytes: Vec<u8>, size: u64 },
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite<'d> {
    bytes: Vec<u8>,
    /// The section headers as they were.
    headers: &'d [u8],
    /// Number of the section with the names of sections, and those names.
    names: u32,
    strings: &'d [u8],
}

impl<'d> Rewrite<'d> {
    pub(crate) fn new(file: &'d [u8], object: &Object<'d>) -> Result<Self, LinkError> {
        let count = object.sections().len();
        let len = u64::try_from(count)
            .unwrap_or(u64::MAX)
            .saturating_mul(HEADER_BYTES);
        let start = read::<8>(file, at::E_SHOFF).map(u64::from_le_bytes)?;
        let short = read::<2>(file, at::E_SHSTRNDX).map(u16::from_le_bytes)?;
        let first = object.section(SectionId(0));
        let names = match first.filter(|_| short == SHN_XINDEX.0) {
            Some(first) => first.link,
            None => u32::from(short),
        };
        let strings = object.section(SectionId(names));
        let program_headers = read::<8>(file, at::E_PHOFF).map(u64::from_le_bytes)?;
        let kept = match program_headers {
            0 => end_of_contents(object, SectionId(names)).min(length(file)),
            _ => length(file),
        };
        Ok(Self {
            bytes: slice(file, 0, kept)?.to_vec(),
            headers: slice(file, start, len)?,
            names,
            strings: strings.map(|section| section.data).unwrap_or_default(),
        })
    }

    /// Makes `R_*_NONE` of a relocation; its symbol stays.
    pub(crate) fn unmake_reloc(&mut self, start: u64, number: u64) -> Result<(), LinkError> {
        let entry = start.saturating_add(number.saturating_mul(RELA_BYTES));
        // The low half is the type, first in a little-endian file.
        self.put(entry.saturating_add(at::R_INFO), &0_u32.to_le_bytes())
    }

    pub(crate) fn set_symbol_section(
        &mut self,
        table: u64,
        id: SymbolId,
        section: u16,
    ) -> Result<(), LinkError> {
        let entry = table.saturating_add(u64::from(id.0).saturating_mul(SYMBOL_BYTES));
        self.put(entry.saturating_add(at::ST_SHNDX), &section.to_le_bytes())
    }

    /// Appends sections, and ends.
    pub(crate) fn append(mut self, sections: Vec<NewSection>) -> Result<Vec<u8>, LinkError> {
        let old = usize::try_from(HEADER_BYTES)
            .map_or(0, |size| self.headers.len().checked_div(size).unwrap_or(0));
        let count = u64::try_from(old.saturating_add(sections.len())).unwrap_or(u64::MAX);
        let mut headers = self.headers.to_vec();
        let mut strings = self.strings.to_vec();
        for section in sections {
            let name = u32::try_from(strings.len()).unwrap_or(u32::MAX);
            strings.extend_from_slice(section.name.as_bytes());
            strings.push(0);
            let offset = self.align();
            headers.extend(header(&section, name, offset));
            match section.contents {
                Contents::Relocs(relocs) => self.bytes.extend(relocs.iter().flat_map(rela)),
                Contents::Entries { bytes, .. } => self.bytes.extend(bytes),
            }
        }
        let offset = length(&self.bytes);
        self.bytes.extend_from_slice(&strings);
        let names = u64::from(self.names).saturating_mul(HEADER_BYTES);
        for (field, value) in [(at::SH_OFFSET, offset), (at::SH_SIZE, length(&strings))] {
            put(
                &mut headers,
                names.saturating_add(field),
                &value.to_le_bytes(),
            )?;
        }
        // What does not fit into the header is in section 0 (System V ABI, chapter 4, "ELF Header").
        let short = u16::try_from(count).ok();
        let short = short.filter(|count| *count < SHN_LORESERVE);
        if short.is_none() {
            put(&mut headers, at::SH_SIZE, &count.to_le_bytes())?;
        }
        let start = self.align();
        self.bytes.extend_from_slice(&headers);
        self.put(at::E_SHOFF, &start.to_le_bytes())?;
        self.put(at::E_SHNUM, &short.unwrap_or(0).to_le_bytes())?;
        Ok(self.bytes)
    }

    /// Fills up to a multiple of 8 bytes.
    fn align(&mut self) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        length(&self.bytes)
    }

    fn put(&mut self, offset: u64, new: &[u8]) -> Result<(), LinkError> {
        put(&mut self.bytes, offset, new)
    }
}

fn rela(reloc: &Reloc) -> impl Iterator<Item = u8> {
    let info = u64::from(reloc.symbol.0) << 32 | u64::from(reloc.kind);
    let words = [reloc.offset, info, reloc.addend.cast_unsigned()];
    words.into_iter().flat_map(u64::to_le_bytes)
}

fn header(section: &NewSection, name: u32, offset: u64) -> Vec<u8> {
    let (kind, align, entry, len) = match &section.contents {
        Contents::Relocs(relocs) => {
            let count = u64::try_from(relocs.len()).unwrap_or(u64::MAX);
            (SHT_RELA, 8, RELA_BYTES, count.saturating_mul(RELA_BYTES))
        }
        Contents::Entries { bytes, size } => (SHT_PROGBITS, 1, *size, length(bytes)),
    };
    let mut header = Vec::new();
    header.extend(name.to_le_bytes());
    header.extend(kind.0.to_le_bytes());
    for word in [section.flags, 0, offset, len] {
        header.extend(word.to_le_bytes());
    }
    header.extend(section.link.to_le_bytes());
    header.extend(section.info.to_le_bytes());
    for word in [align, entry] {
        header.extend(word.to_le_bytes());
    }
    header
}

/// One past the last byte of any section but the one with the names: both it and the headers are written anew.
fn end_of_contents(object: &Object<'_>, names: SectionId) -> u64 {
    let contents = object.sections_with_ids().filter(|(id, _)| *id != names);
    let ends = contents.map(|(_, section)| section.offset.saturating_add(length(section.data)));
    ends.max().unwrap_or(0).max(FILE_HEADER_BYTES)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn slice(bytes: &[u8], offset: u64, len: u64) -> Result<&[u8], LinkError> {
    let start = usize::try_from(offset).ok();
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let end = start.and_then(|start| start.checked_add(len));
    start
        .zip(end)
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or(LinkError::Outside { offset, bytes: len })
}

fn read<const N: usize>(bytes: &[u8], offset: u64) -> Result<[u8; N], LinkError> {
    let found = slice(bytes, offset, u64::try_from(N).unwrap_or(u64::MAX))?;
    let wrong = LinkError::Outside { offset, bytes: N };
    found.first_chunk::<N>().copied().ok_or(wrong)
}

fn put(bytes: &mut [u8], offset: u64, new: &[u8]) -> Result<(), LinkError> {
    let wrong = LinkError::Outside {
        offset,
        bytes: new.len(),
    };
    let start = usize::try_from(offset).ok();
    let end = start.and_then(|start| start.checked_add(new.len()));
    let found = start
        .zip(end)
        .and_then(|(start, end)| bytes.get_mut(start..end));
    found.ok_or(wrong)?.copy_from_slice(new);
    Ok(())
}
