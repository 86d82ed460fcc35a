//! Two builds of one object, compared from their files.

use std::path::Path;

use elf_index::Object;
use klp_checksum::{Program, Rule};
use klp_diff::{Correlation, Difference, Side, compare, correlate};

use crate::checksums::checksums;
use crate::error::Error;

/// Two builds with what they have in common and what not.
#[derive(Debug)]
pub struct Comparison<'o, 'd> {
    /// The build after the change, as its checksums see it.
    pub program: Program<'o, 'd>,
    /// The build before the change.
    pub before: Side<'o, 'd>,
    /// The build after it.
    pub after: Side<'o, 'd>,
    /// Which symbol is which.
    pub twins: Correlation,
    /// What differs.
    pub difference: Difference,
}

impl<'o, 'd> Comparison<'o, 'd> {
    /// Compares two builds; the paths are for errors.
    ///
    /// # Errors
    ///
    /// [`Error::Checksums`], [`Error::Correlate`].
    pub fn new(
        before: (&'o Object<'d>, &Path),
        after: (&'o Object<'d>, &Path),
    ) -> Result<Self, Error> {
        let (before_side, after_side) =
            rayon::join(|| side(before.0, before.1), || side(after.0, after.1));
        let ((_, before_side), (program, after_side)) = (before_side?, after_side?);
        let twins = correlate(&before_side, &after_side).map_err(|source| Error::Correlate {
            before: before.1.to_owned(),
            after: after.1.to_owned(),
            source,
        })?;
        let difference = compare(&before_side, &after_side, &twins);
        Ok(Self {
            program,
            before: before_side,
            after: after_side,
            twins,
            difference,
        })
    }
}

fn side<'o, 'd>(
    object: &'o Object<'d>,
    path: &Path,
) -> Result<(Program<'o, 'd>, Side<'o, 'd>), Error> {
    let failed = |source| Error::Checksums {
        path: path.to_owned(),
        source,
    };
    let program = Program::new(object).map_err(failed)?;
    let sums = checksums(&program, Rule::Content).map_err(failed)?;
    let sums = sums.into_iter().map(|sum| (sum.symbol, sum.checksum));
    let side = Side::new(&program, sums);
    Ok((program, side))
}
