//! Two builds of one object, compared from their files.

use std::path::Path;

use elf_index::{Object, SymbolId};
use klp_checksum::{Program, Rule, Subject, Unchanged};
use klp_diff::{ByName, Correlation, Difference, Exports, Inputs, Plan, Side, compare};
use rayon::prelude::*;

use crate::checksums::checksums_of;
use crate::error::Error;

/// Twins that one task compares.
const CHUNK: usize = 1024;

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
        let ((old, mut before_side), (program, mut after_side)) = (before_side?, after_side?);
        let mut names =
            ByName::new(&before_side, &after_side).map_err(|source| Error::Correlate {
                before: before.1.to_owned(),
                after: after.1.to_owned(),
                source,
            })?;
        let needed = needed(&mut names, (&old, &before_side), (&program, &after_side));
        let (before_sums, after_sums) = rayon::join(
            || sums(&old, &needed.0, before.1),
            || sums(&program, &needed.1, after.1),
        );
        before_side.tell(before_sums?);
        after_side.tell(after_sums?);
        let twins = names.finish(&before_side, &after_side);
        let difference = compare(&before_side, &after_side, &twins);
        Ok(Self {
            program,
            before: before_side,
            after: after_side,
            twins,
            difference,
        })
    }

    /// What a module of the change takes along; `exports` are those of the kernel.
    #[must_use]
    pub fn plan<'e>(&self, exports: &'e Exports<'_>) -> Plan<'e> {
        Plan::new(
            Inputs {
                program: &self.program,
                after: &self.after,
                twins: &self.twins,
                difference: &self.difference,
            },
            exports,
        )
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
    // No checksum may be asked for that would have said so.
    program.check_bounds().map_err(failed)?;
    let side = Side::new(&program);
    Ok((program, side))
}

/// Subjects whose checksums are needed, before and after: all but those of twins that certainly mean the same.
fn needed(
    names: &mut ByName<'_>,
    (before, before_side): (&Program<'_, '_>, &Side<'_, '_>),
    (after, after_side): (&Program<'_, '_>, &Side<'_, '_>),
) -> (Vec<Subject>, Vec<Subject>) {
    let unchanged = Unchanged::new(before, after);
    let pairs: Vec<(SymbolId, SymbolId)> = names.twins().collect();
    let is_same: Vec<bool> = pairs
        .par_iter()
        .with_min_len(CHUNK)
        .map(|(one, two)| {
            let subjects = before_side.subject(*one).zip(after_side.subject(*two));
            subjects.is_some_and(|(one, two)| unchanged.has(one, two))
        })
        .collect();
    let (mut old, mut new) = names.open();
    let mut same = Vec::with_capacity(pairs.len());
    for ((one, two), is_same) in pairs.into_iter().zip(is_same) {
        if is_same {
            same.push(two);
        } else {
            old.push(one);
            new.push(two);
        }
    }
    names.know_same(same);
    let subjects = |side: &Side<'_, '_>, symbols: Vec<SymbolId>| {
        let mut subjects: Vec<Subject> = symbols
            .into_iter()
            .filter_map(|id| side.subject(id))
            .collect();
        subjects.sort_unstable_by_key(|subject| subject.symbol);
        subjects.dedup();
        subjects
    };
    (subjects(before_side, old), subjects(after_side, new))
}

fn sums(
    program: &Program<'_, '_>,
    subjects: &[Subject],
    path: &Path,
) -> Result<Vec<(SymbolId, u64)>, Error> {
    let sums = checksums_of(program, subjects, Rule::Content);
    let sums = sums.map_err(|source| Error::Checksums {
        path: path.to_owned(),
        source,
    })?;
    Ok(sums
        .into_iter()
        .map(|sum| (sum.symbol, sum.checksum))
        .collect())
}
