//! Runs a target with a sequence of damaged inputs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::mutator::Mutator;
use crate::targets::Target;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of the first input.
    pub from: u64,
    /// How many inputs.
    pub count: u64,
    /// Where an input that fails is left.
    pub folder: PathBuf,
}

/// Runs a target. `around` is given each run: it may limit what the run may use.
///
/// # Errors
/// The number of the first input that fails, and where it was left.
pub fn run(
    target: &Target,
    plan: &Plan,
    around: &mut dyn FnMut(u64, &[u8], &dyn Fn()),
) -> anyhow::Result<()> {
    let seeds = (target.seeds)();
    if seeds.iter().all(Vec::is_empty) {
        bail!("{} has no seeds", target.name);
    }
    // Seeds must be good: damage to what is refused at once finds nothing.
    for number in plan.from..plan.from.saturating_add(plan.count) {
        let mut mutator = Mutator::new(number);
        let mut input = mutator.choose(&seeds).to_vec();
        mutator.damage(&mut input);
        let parse = || (target.parse)(&input);
        let ended = catch_unwind(AssertUnwindSafe(|| around(number, &input, &parse)));
        if ended.is_err() {
            let path = plan.folder.join(format!("{}-{number}", target.name));
            std::fs::create_dir_all(&plan.folder).context("make the folder of failing inputs")?;
            std::fs::write(&path, &input).context("leave the failing input")?;
            bail!(
                "{} failed with input {number}, left in {}",
                target.name,
                path.display()
            );
        }
    }
    Ok(())
}
