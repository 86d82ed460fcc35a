//! `klp diff`: what changed between two builds of an object, and what of it cannot be livepatched.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use elf_index::SymbolId;
use klp_diff::Side;
use livepatch::{Comparison, Input, words};

use crate::plan::PlanOptions;

/// Exit code when a change cannot be livepatched.
pub(crate) const REFUSED: u8 = 3;

/// Whether a change can be livepatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Possible,
    Refused,
}

/// Tells what changed between two builds of an object, and which changes cannot be livepatched
///
/// Every refusal is listed, not the first one only. The exit code is 0 when everything can be livepatched, 3 when
/// something cannot, and 1 when that could not be found out.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The object before the change
    orig: PathBuf,

    /// The object after it
    patched: PathBuf,

    /// Also list what is gone after the change
    #[arg(long)]
    removed: bool,

    #[command(flatten)]
    plan: PlanOptions,
}

impl Diff {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let inputs = [Input::open(&self.orig)?, Input::open(&self.patched)?];
        let [one, two] = &inputs;
        let objects = [one.object()?, two.object()?];
        let [one, two] = &objects;
        let found = Comparison::new((one, &self.orig), (two, &self.patched))?;
        let difference = &found.difference;
        for (_, after) in &difference.changed {
            line("changed function", &found.after, *after, output)?;
        }
        for id in &difference.added {
            line(added(&found.after, *id), &found.after, *id, output)?;
        }
        for id in difference.removed.iter().filter(|_| self.removed) {
            line("removed", &found.before, *id, output)?;
        }
        for refusal in &difference.refusals {
            writeln!(output, "REFUSED {}", words::refusal(*refusal, &found))?;
        }
        if difference.changed.is_empty() && difference.refusals.is_empty() {
            writeln!(output, "nothing changed")?;
        }
        let [orig, _] = &inputs;
        let verdict = self.plan.run(orig, &found, output)?;
        Ok(
            if difference.refusals.is_empty() && verdict == Verdict::Possible {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(REFUSED)
            },
        )
    }
}

fn added(side: &Side<'_, '_>, id: SymbolId) -> &'static str {
    match side.object().symbol(id) {
        Some(symbol) if symbol.is_func() => "new function",
        _ => "new data",
    }
}

fn line(what: &str, side: &Side<'_, '_>, id: SymbolId, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "{what} {}", words::name(side, id))
}
