//! Runs the steps: one line of result each, dependents of a failed step not run, everything counted at the end.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::context::{Context, Report, Strictness, UnitRunner};
use super::counts::Counts;
use super::steps::{self, Step};
use crate::output;
use crate::workspace::{Workspace, cargo};

/// How much to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What needs neither kernels nor machines.
    Quick,
    /// Everything.
    Full,
    /// The machine tests whose name contains this, and what they need.
    Scenarios(String),
    /// That many updates in a row, and what they need.
    Soak(u32),
}

/// How a step ended.
#[derive(Debug)]
enum Outcome {
    Ran(Report),
    Failed(Error),
    Skipped(String),
}

/// Runs every step of an extent; the exit code tells whether anything failed.
pub(crate) fn run(extent: &Extent) -> Result<ExitCode> {
    let context = Context {
        workspace: Workspace::load()?,
        strictness: strictness(env::var("CI").ok().as_deref()),
        unit_runner: unit_runner(),
        only: match extent {
            Extent::Scenarios(filter) => Some(filter.clone()),
            Extent::Soak(_) => Some("soak::".to_owned()),
            Extent::Quick | Extent::Full => None,
        },
        updates: match extent {
            Extent::Soak(updates) => Some(*updates),
            _ => None,
        },
    };
    if context.only.is_none() && context.unit_runner == UnitRunner::Cargo {
        output::line(
            "note: cargo-nextest is not installed; unit tests run with `cargo test`, one program at a time",
        );
    }
    let total = run_steps(&steps::all(extent, &context), &context);
    output::line(&format!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    ));
    Ok(if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn strictness(ci: Option<&str>) -> Strictness {
    match ci {
        Some("true" | "1") => Strictness::Strict,
        _ => Strictness::Lenient,
    }
}

fn unit_runner() -> UnitRunner {
    let version = cargo().args(["nextest", "--version"]).output();
    if version.is_ok_and(|output| output.status.success()) {
        UnitRunner::Nextest
    } else {
        UnitRunner::Cargo
    }
}

fn run_steps(steps: &[Step], context: &Context) -> Counts {
    let mut total = Counts::default();
    let mut bad: BTreeMap<&str, &str> = BTreeMap::new();
    let mut failures = Vec::new();
    for step in steps {
        let started = Instant::now();
        let outcome = strictly(context.strictness, outcome_of(step, &bad, context));
        let (word, counts) = verdict(&outcome);
        total += counts;
        match word {
            "ok" => None,
            other => bad.insert(step.name, other),
        };
        let mut lines = lines_of(step.name, word, started.elapsed(), &outcome);
        if word == "FAILED" {
            lines.extend(full_disks(&written_to(context), SCARCE));
        }
        lines.iter().for_each(|line| output::line(line));
        if word == "FAILED" {
            failures.extend(lines);
        }
    }
    // Once more, where nobody has to look for them.
    failures.iter().for_each(|line| output::line(line));
    total
}

/// Less than this is left of a file system when writing to it fails here and there.
const SCARCE: u64 = 1 << 30;

/// The folders that steps write to.
fn written_to(context: &Context) -> Vec<PathBuf> {
    let cache = kernel_build::Cache::from_env().ok();
    let cache = cache.map(|cache| cache.root().to_owned());
    let folders = [context.workspace.target.clone(), env::temp_dir()];
    folders.into_iter().chain(cache).collect()
}

/// Names the folders with less room than that, in bytes: linkers, QEMU and cargo tell a full disk in many ways, or
/// not at all.
fn full_disks(folders: &[PathBuf], scarce: u64) -> Vec<String> {
    let lines = folders.iter().filter_map(|folder| {
        let found = rustix::fs::statvfs(folder).ok()?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        (free < scarce).then(|| {
            let folder = folder.display();
            format!("        only {} MiB are free under {folder}", free >> 20)
        })
    });
    lines.collect()
}

fn outcome_of(step: &Step, bad: &BTreeMap<&str, &str>, context: &Context) -> Outcome {
    for need in step.needs {
        match bad.get(need) {
            Some(&"skipped") => {
                return Outcome::Skipped(format!("it needs `{need}`, which was skipped"));
            }
            Some(_) => {
                return Outcome::Failed(Error::msg(format!(
                    "not run: it needs `{need}`, which failed"
                )));
            }
            None => {}
        }
    }
    match (step.run)(context) {
        Ok(report) => Outcome::Ran(report),
        Err(error) => match unreachable_mirror(&error) {
            Some(reason) => Outcome::Skipped(reason),
            None => Outcome::Failed(error),
        },
    }
}

/// Without network and without cached kernels a developer still gets the rest of the tests.
fn unreachable_mirror(error: &Error) -> Option<String> {
    let cause = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<kernel_build::Error>())?;
    cause.is_mirror_missing().then(|| cause.to_string())
}

/// Under continuous integration a skip is a failure.
fn strictly(strictness: Strictness, outcome: Outcome) -> Outcome {
    match (strictness, outcome) {
        (Strictness::Strict, Outcome::Skipped(reason)) => Outcome::Failed(Error::msg(format!(
            "skipped, which CI=true forbids: {reason}"
        ))),
        (_, outcome) => outcome,
    }
}

fn verdict(outcome: &Outcome) -> (&'static str, Counts) {
    match outcome {
        Outcome::Ran(report) if report.counts.failed == 0 => ("ok", report.counts),
        Outcome::Ran(report) => ("FAILED", report.counts),
        Outcome::Failed(_) => ("FAILED", Counts::ONE_FAILED),
        Outcome::Skipped(_) => ("skipped", Counts::ONE_SKIPPED),
    }
}

fn lines_of(name: &str, word: &str, elapsed: Duration, outcome: &Outcome) -> Vec<String> {
    let mut line = format!("{word:<8}{name:<16}{:>7.1}s", elapsed.as_secs_f64());
    let mut below = Vec::new();
    match outcome {
        Outcome::Ran(report) => {
            if report.counts != Counts::ONE_PASSED {
                let Counts {
                    passed,
                    failed,
                    skipped,
                } = report.counts;
                line.push_str(&format!(
                    "  {passed} passed, {failed} failed, {skipped} skipped"
                ));
            }
            below.clone_from(&report.notes);
        }
        Outcome::Failed(error) => below.push(output::causes(error)),
        Outcome::Skipped(reason) => below.push(reason.clone()),
    }
    let below = below.iter().flat_map(|note| note.lines());
    let below = below.map(|text| format!("        {text}"));
    std::iter::once(line).chain(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(strictness: Strictness) -> Context {
        Context {
            workspace: Workspace {
                packages: Vec::new(),
                root: PathBuf::from("."),
                target: PathBuf::from("target"),
            },
            strictness,
            unit_runner: UnitRunner::Cargo,
            only: None,
            updates: None,
        }
    }

    fn good(_: &Context) -> Result<Report> {
        Ok(Report::passed())
    }

    fn broken(_: &Context) -> Result<Report> {
        Err(Error::msg("broken"))
    }

    fn offline(_: &Context) -> Result<Report> {
        Err(Error::from(kernel_build::Error::NoMirror).context("kernel 7.3"))
    }

    const fn step(name: &'static str, needs: &'static [&'static str], run: steps::StepFn) -> Step {
        Step { name, needs, run }
    }

    fn totals(steps: &[Step], strictness: Strictness) -> (u64, u64, u64) {
        let total = run_steps(steps, &context(strictness));
        (total.passed, total.failed, total.skipped)
    }

    #[test]
    fn a_failure_stops_only_what_needs_it() {
        let steps = [
            step("kernels", &[], broken),
            step("e2e", &["kernels"], good),
            step("files", &[], good),
        ];
        assert_eq!(totals(&steps, Strictness::Lenient), (1, 2, 0));
    }

    #[test]
    fn without_a_mirror_kernels_and_what_needs_them_are_skipped_but_never_in_ci() {
        let steps = [
            step("kernels", &[], offline),
            step("e2e", &["kernels"], good),
            step("files", &[], good),
        ];
        assert_eq!(totals(&steps, Strictness::Lenient), (1, 0, 2));
        assert_eq!(totals(&steps, Strictness::Strict), (1, 2, 0));
    }

    #[test]
    fn a_full_disk_is_named() {
        let folders = [env::temp_dir(), PathBuf::from("/nonexistent")];
        assert_eq!(full_disks(&folders, 0), [""; 0]);
        let named = full_disks(&folders, u64::MAX);
        assert_eq!(named.len(), 1);
        assert!(named[0].contains(&folders[0].display().to_string()));
    }

    #[test]
    fn only_ci_true_makes_it_strict() {
        assert_eq!(strictness(Some("true")), Strictness::Strict);
        assert_eq!(strictness(Some("false")), Strictness::Lenient);
        assert_eq!(strictness(None), Strictness::Lenient);
    }
}
