//! What a step of the test run works with, and what it hands back.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow};
use kernel_build::{LoggedCommand, Progress};

use super::counts::Counts;
use crate::workspace::{Workspace, cargo};

/// Whether this is a developer's machine or continuous integration, where nothing may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// What cannot run here is skipped, with the reason.
    Lenient,
    /// What cannot run is a failure: `CI=true`.
    Strict,
}

/// The program that runs unit tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitRunner {
    /// `cargo nextest run`.
    Nextest,
    /// `cargo test`.
    Cargo,
}

/// What every step gets.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) workspace: Workspace,
    pub(super) strictness: Strictness,
    pub(super) unit_runner: UnitRunner,
    /// Part of the names of the machine tests to run; all of them without.
    pub(super) only: Option<String>,
    /// How many updates in a row, where a scenario makes many.
    pub(super) updates: Option<u32>,
}

/// What a step found.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) counts: Counts,
    /// Lines to show below the result.
    pub(super) notes: Vec<String>,
}

impl Report {
    /// A check that passed.
    pub(super) fn passed() -> Self {
        Self {
            counts: Counts::ONE_PASSED,
            notes: Vec::new(),
        }
    }

    /// Adds what another run found.
    pub(super) fn add(&mut self, other: Self) {
        self.counts += other.counts;
        self.notes.extend(other.notes);
    }
}

impl Context {
    /// Returns the log of a step.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        let file = format!("{}.log", name.replace(' ', "-"));
        self.workspace.target.join("xtask-logs").join(file)
    }

    /// Returns cargo in the repository's root.
    pub(super) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.current_dir(&self.workspace.root).args(arguments);
        command
    }

    /// Runs a check that is right when the program succeeds.
    pub(super) fn check(&self, name: &str, command: Command) -> Result<Report> {
        LoggedCommand::new(name, command, self.log(name)).run()?;
        Ok(Report::passed())
    }

    /// Runs a test program and counts its tests, whether it succeeds or not.
    pub(super) fn tests(&self, name: &str, command: Command) -> Result<Report> {
        self.tests_with(name, command, Progress::Elapsed)
    }

    /// Like [`Self::tests`], with a line for each test as it ends.
    pub(super) fn long_tests(&self, name: &str, command: Command) -> Result<Report> {
        self.tests_with(name, command, Progress::Tests)
    }

    fn tests_with(&self, name: &str, command: Command, progress: Progress) -> Result<Report> {
        let log = self.log(name);
        let outcome = LoggedCommand::new(name, command, log.clone())
            .with_progress(progress)
            .run();
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        report_of(outcome.map(drop).map_err(anyhow::Error::from), &text)
            .map_err(|error| error.context(format!("log: {}", log.display())))
    }
}

/// Joins how a test program ended with what it printed.
fn report_of(outcome: Result<()>, log: &str) -> Result<Report> {
    let counts = Counts::in_log(log);
    match (outcome, counts) {
        (Ok(()), Some(counts)) => Ok(Report {
            counts,
            notes: skip_reasons(log, counts),
        }),
        (Ok(()), None) => Err(anyhow!("the tests ended without a summary")),
        (Err(error), Some(mut counts)) => {
            // A program may also fail after its tests passed.
            counts.failed = counts.failed.max(1);
            let mut notes = vec![error.to_string()];
            notes.extend(skip_reasons(log, counts));
            Ok(Report { counts, notes })
        }
        (Err(error), None) => Err(error),
    }
}

/// Collects why tests were skipped: `skipped: …` lines that they print, else what `#[ignore]` means.
fn skip_reasons(log: &str, counts: Counts) -> Vec<String> {
    if counts.skipped == 0 {
        return Vec::new();
    }
    let given: Vec<String> = log
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("skipped: "))
        .map(str::to_owned)
        .collect();
    if given.is_empty() {
        vec![format!(
            "skipped: {} tests are marked #[ignore]",
            counts.skipped
        )]
    } else {
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n";

    #[test]
    fn a_program_that_fails_after_good_tests_still_counts_a_failure() {
        assert_eq!(report_of(Ok(()), GOOD).unwrap().counts.failed, 0);
        let report = report_of(Err(anyhow!("exit status: 101")), GOOD).unwrap();
        assert_eq!((report.counts.passed, report.counts.failed), (2, 1));
        assert_eq!(report.notes, ["exit status: 101"]);
    }

    #[test]
    fn success_without_any_summary_is_an_error() {
        assert!(report_of(Ok(()), "").is_err());
    }

    #[test]
    fn every_skip_says_why() {
        let log = "skipped: no KVM here\ntest result: ok. 2 passed; 0 failed; 1 ignored\n";
        assert_eq!(
            report_of(Ok(()), log).unwrap().notes,
            ["skipped: no KVM here"]
        );
        let log = "test result: ok. 2 passed; 0 failed; 1 ignored\n";
        assert!(report_of(Ok(()), log).unwrap().notes[0].contains("#[ignore]"));
    }
}
