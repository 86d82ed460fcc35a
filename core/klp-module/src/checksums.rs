//! [`with_checksums`]: an object with the checksums of what is in it, as `objtool klp checksum` leaves it.

use alloc::format;
use alloc::vec::Vec;

use elf_index::{Object, Reloc, SectionId, SymbolId};
use klp_abi::SymChecksum;
use klp_abi::records::SYM_CHECKSUM_SECTION;
use object::Endianness;
use object::elf::{R_X86_64_PC32, SHF_ALLOC, SHF_INFO_LINK};
use zerocopy::IntoBytes as _;

use crate::link::LinkError;
use crate::rewrite::{Contents, NewSection, Rewrite};

/// Bytes of a record.
const RECORD_BYTES: u64 = 16;

/// Adds the section of checksums to an object: a record for each symbol with the relocation that says which, in the order
/// given. A checksum of zero is left out, as `objtool` does (`tools/objtool/klp-checksum.c`, v7.3). `None` for an object
/// that has the section.
///
/// # Errors
///
/// [`LinkError`], when the object cannot be read, has no symbols, or is big-endian.
pub fn with_checksums(
    file: &[u8],
    checksums: impl IntoIterator<Item = (SymbolId, u64)>,
) -> Result<Option<Vec<u8>>, LinkError> {
    let object = Object::parse(file)?;
    if object.header().endian != Endianness::Little {
        return Err(LinkError::ByteOrder);
    }
    if object.section_named(SYM_CHECKSUM_SECTION).is_some() {
        return Ok(None);
    }
    let symbols = object.symbol_table().ok_or(LinkError::NoSymbols)?;
    let number = u32::try_from(object.sections().len()).unwrap_or(u32::MAX);
    let (mut bytes, mut relocs, mut offset) = (Vec::new(), Vec::new(), 0_u64);
    for (symbol, checksum) in checksums {
        if checksum == 0 {
            continue;
        }
        let record = SymChecksum {
            addr: 0.into(),
            checksum: checksum.into(),
        };
        bytes.extend_from_slice(record.as_bytes());
        relocs.push(Reloc {
            offset,
            symbol,
            kind: R_X86_64_PC32.0,
            addend: 0,
        });
        offset = offset.saturating_add(RECORD_BYTES);
    }
    let rewrite = Rewrite::new(file, &object)?;
    let bytes = rewrite.append(sections(SectionId(number), symbols, bytes, relocs))?;
    // Tables that overlap were read one by one, and writing one damaged another.
    Object::parse(&bytes).map_err(LinkError::Overlap)?;
    Ok(Some(bytes))
}

/// The records, which get a number, and their relocations.
fn sections(
    number: SectionId,
    symbols: SectionId,
    bytes: Vec<u8>,
    relocs: Vec<Reloc>,
) -> Vec<NewSection> {
    let records = NewSection {
        name: SYM_CHECKSUM_SECTION.into(),
        flags: SHF_ALLOC.0,
        link: 0,
        info: 0,
        contents: Contents::Entries {
            bytes,
            size: RECORD_BYTES,
        },
    };
    let of_records = NewSection {
        name: format!(".rela{SYM_CHECKSUM_SECTION}"),
        flags: SHF_INFO_LINK.0,
        link: symbols.0,
        info: number.0,
        contents: Contents::Relocs(relocs),
    };
    Vec::from([records, of_records])
}
