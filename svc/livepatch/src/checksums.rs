//! The checksums of everything in an object, on every core.

use elf_index::SymbolId;
use klp_checksum::{Error, Program, Rule, Subject, Transcript};
use rayon::prelude::*;

/// Subjects that one task takes: enough that starting it costs nothing beside them.
const CHUNK: usize = 256;

/// The checksum of a function or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The symbol.
    pub symbol: SymbolId,
    /// XXH3-64.
    pub checksum: u64,
}

/// Computes every checksum, in the order of symbols.
///
/// # Errors
///
/// The first [`Error`] of any symbol.
pub fn checksums(program: &Program<'_, '_>, rule: Rule) -> Result<Vec<Checksum>, Error> {
    checksums_of(program, program.subjects(), rule)
}

/// Computes the checksums of some subjects, in their order.
pub(crate) fn checksums_of(
    program: &Program<'_, '_>,
    subjects: &[Subject],
    rule: Rule,
) -> Result<Vec<Checksum>, Error> {
    let chunks: Vec<Vec<Checksum>> = subjects
        .par_chunks(CHUNK)
        .map_init(Transcript::new, |transcript, subjects| {
            let each = subjects.iter().map(|subject| {
                program.transcribe(*subject, rule, transcript)?;
                Ok(Checksum {
                    symbol: subject.symbol,
                    checksum: transcript.checksum(),
                })
            });
            each.collect::<Result<Vec<_>, Error>>()
        })
        .collect::<Result<_, Error>>()?;
    Ok(chunks.concat())
}
