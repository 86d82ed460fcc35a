//! Damaged input for everything that parses: the crate `fuzz`, optimised.

use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::output;
use crate::workspace::{Workspace, cargo};

/// Inputs of each target in the test command.
pub(crate) const BOUNDED: u64 = 20_000;

/// The program with its arguments; it prints a line for each target.
pub(crate) fn command(
    workspace: &Workspace,
    from: u64,
    count: u64,
    target: Option<&str>,
) -> Command {
    let mut command = cargo();
    command
        .current_dir(&workspace.root)
        .args([
            "run",
            "--quiet",
            "--release",
            "-p",
            "fuzz",
            "--bin",
            "fuzz",
            "--",
        ])
        .args(["--from", &from.to_string(), "--count", &count.to_string()])
        .arg("--folder")
        .arg(workspace.target.join("fuzz"));
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    command
}

/// Runs `count` inputs of each target, or of one, on every processor.
pub(crate) fn run(from: u64, count: u64, target: Option<&str>) -> Result<()> {
    let workspace = Workspace::load()?;
    // Once before, so that the programs below do not wait for each other.
    succeed(command(&workspace, from, 0, target))?;
    let processors = u64::try_from(thread::available_parallelism()?.get())?;
    let share = count.div_ceil(processors);
    thread::scope(|scope| {
        let shares: Vec<_> = (0..processors)
            .map(|processor| {
                let begin = (processor * share).min(count);
                let inputs = share.min(count - begin);
                let command = command(&workspace, from + begin, inputs, target);
                scope.spawn(move || succeed(command))
            })
            .collect();
        for share in shares {
            share
                .join()
                .map_err(|_panic| anyhow::anyhow!("a thread panicked"))??;
        }
        output::line(&format!("{count} inputs for each target, none failed"));
        Ok(())
    })
}

fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().context("start the fuzzer")?;
    if !status.success() {
        bail!("the fuzzer failed: {status}");
    }
    Ok(())
}
