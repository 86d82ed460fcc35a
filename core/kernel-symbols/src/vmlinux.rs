//! The kernel itself: the ELF file `vmlinux`.
//!
//! The order of the kernel's own table is not that of the file. It is made of the file when the kernel is linked: some
//! symbols are left out ([`is_kept`]), the others sorted by address. Livepatch counts positions in that order.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use object::elf::{ET_DYN, ET_EXEC, STB_LOCAL, STT_FILE, STT_SECTION};

use crate::builder::Builder;
use crate::elf::{ElfError, ElfFile};
use crate::kallsyms::bounds::Bounds;
use crate::kind::Kind;
use crate::name::Ending;
use crate::object::{ObjectKind, VMLINUX};
use crate::table::{Table, TableEntry};

mod order;

pub use order::is_kept;

use order::Candidate;

/// Reads a `vmlinux` file: its symbols as `/proc/kallsyms` will have them, at the addresses they were linked for.
///
/// # Errors
/// [`ElfError`].
pub fn parse(file: &[u8]) -> Result<Table<'_>, ElfError> {
    let elf = ElfFile::parse(file)?;
    if elf.kind != ET_EXEC && elf.kind != ET_DYN {
        return Err(ElfError::Type {
            found: elf.kind.0,
            expected: "ET_EXEC (2) or ET_DYN (3), as vmlinux has",
        });
    }
    let symbols = elf.symbols.len();
    let mut candidates = candidates(&elf);
    candidates.sort_unstable();
    let mut builder = Builder::new(Ending::Nul, candidates.len());
    let vmlinux = builder.object(VMLINUX.as_bytes(), ObjectKind::Vmlinux);
    builder.begin(vmlinux);
    let mut bounds = Bounds::default();
    for candidate in &candidates {
        bounds.see(candidate.name, candidate.addr);
        let entry = TableEntry {
            addr: candidate.addr,
            kind: Kind::of_letter(candidate.letter),
        };
        if !builder.push(entry, candidate.name_at, candidate.name) {
            return Err(ElfError::TooLarge { symbols });
        }
    }
    for region in bounds.regions() {
        builder.region(vmlinux, region);
    }
    Ok(builder.finish(Cow::Borrowed(elf.strings)))
}

/// Every symbol that is kept.
fn candidates<'d>(elf: &ElfFile<'d>) -> Vec<Candidate<'d>> {
    let symbols = elf.raw_symbols().enumerate().skip(1);
    symbols
        .filter_map(|(number, symbol)| {
            if matches!(symbol.kind, STT_SECTION | STT_FILE) {
                return None;
            }
            let letter = match (symbol.letter(&elf.sections), symbol.binding) {
                (letter @ (b'v' | b'w'), _) if symbol.is_undefined() => letter,
                (letter, STB_LOCAL) => letter,
                (letter, _) => letter.to_ascii_uppercase(),
            };
            let name = elf.string(symbol.name);
            is_kept(letter, name).then_some(Candidate::new(
                symbol.value,
                letter,
                name,
                number,
                symbol.name,
            ))
        })
        .collect()
}
