//! What the kernel's own tool says about an object: the checksums that `objtool klp checksum` leaves in it.

mod guest;
mod meaning;
mod objtool;
mod source;

pub use guest::{Answers, Guest};
pub use meaning::Meaning;
pub use objtool::{Objtool, Outcome, Verdict};
pub use source::{Edit, Sources};

use elf_index::{Object, SymbolId};
use klp_abi::SymChecksum;
use klp_abi::records::SYM_CHECKSUM_SECTION;
use zerocopy::FromBytes as _;

/// A section that is not what `objtool` writes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object has none: `objtool klp checksum` has not seen it.
    #[error("no section {SYM_CHECKSUM_SECTION}")]
    Missing,
    /// The section is no array of records, or not each has its relocation.
    #[error("{bytes} bytes with {relocs} relocations are no array of checksums")]
    Layout {
        /// Bytes of the section.
        bytes: usize,
        /// Relocations for them.
        relocs: usize,
    },
}

/// Reads the checksums that `objtool` wrote, in its order.
///
/// # Errors
/// Any [`Error`].
pub fn objtool_checksums(object: &Object<'_>) -> Result<Vec<(SymbolId, u64)>, Error> {
    let (id, section) = object
        .section_named(SYM_CHECKSUM_SECTION)
        .ok_or(Error::Missing)?;
    let relocs = object.relocs(id);
    let wrong = Error::Layout {
        bytes: section.data.len(),
        relocs: relocs.len(),
    };
    let Ok(records) = <[SymChecksum]>::ref_from_bytes(section.data) else {
        return Err(wrong);
    };
    if records.len() != relocs.len() {
        return Err(wrong);
    }
    let pairs = records.iter().zip(relocs.iter());
    Ok(pairs
        .map(|(record, reloc)| (reloc.symbol, record.checksum.get()))
        .collect())
}
