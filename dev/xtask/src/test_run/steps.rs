//! The steps of the test run, in order.

use anyhow::{Result, anyhow};
use kernel_build::{Freshness, KernelSeries, build_series, locate};

use super::context::{Context, Report, Strictness, UnitRunner};
use super::runner::Extent;
use crate::prerequisites::{self, Purpose};
use crate::{files, guest, layers, links};

/// The body of a step.
pub(super) type StepFn = fn(&Context) -> Result<Report>;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    /// Steps without which this one makes no sense.
    pub(super) needs: &'static [&'static str],
    pub(super) run: StepFn,
}

const fn step(name: &'static str, needs: &'static [&'static str], run: StepFn) -> Step {
    Step { name, needs, run }
}

/// Lists the steps of an extent.
pub(super) fn all(extent: Extent, context: &Context) -> Vec<Step> {
    let mut steps = vec![
        step("format", &[], format),
        step("layers", &[], layers),
        step("files", &[], files),
        step("links", &[], links),
        step("clippy", &[], clippy),
        step("docs", &[], docs),
        step("no_std", &[], no_std),
        step("test tools", &[], test_tools),
        step("unit tests", &["test tools"], unit_tests),
        step("doctests", &[], doctests),
    ];
    if extent == Extent::Full {
        steps.extend([
            step("machine tools", &[], machine_tools),
            step("kernels", &["machine tools"], kernels),
            step("selftests", &["kernels"], selftests),
            step("guest programs", &["machine tools"], guest_programs),
        ]);
        if !context.workspace.machine_tests().is_empty() {
            let needs = &["kernels", "selftests", "guest programs"];
            steps.push(step("machine tests", needs, machine_tests));
        }
    }
    steps
}

fn format(context: &Context) -> Result<Report> {
    context.check("format", context.cargo(&["fmt", "--all", "--check"]))
}

fn layers(context: &Context) -> Result<Report> {
    none_of(&layers::violations(&context.workspace))
}

fn files(context: &Context) -> Result<Report> {
    let findings = files::check(&context.workspace.root)?;
    let mut report = none_of(&findings.errors)?;
    let warnings = findings
        .warnings
        .iter()
        .map(|warning| format!("warning: {warning}"));
    report.notes.extend(warnings);
    Ok(report)
}

fn links(context: &Context) -> Result<Report> {
    none_of(&links::check(&context.workspace.root)?.errors)
}

fn none_of(violations: &[String]) -> Result<Report> {
    if violations.is_empty() {
        Ok(Report::passed())
    } else {
        Err(anyhow!(violations.join("\n")))
    }
}

fn clippy(context: &Context) -> Result<Report> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    context.check("clippy", context.cargo(&arguments))
}

fn docs(context: &Context) -> Result<Report> {
    let mut command = context.cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    context.check("docs", command)
}

fn no_std(context: &Context) -> Result<Report> {
    let mut command = context.cargo(&["build", "--no-default-features"]);
    for package in layers::bottom_packages(&context.workspace) {
        command.args(["--package", &package]);
    }
    context.check("no_std", command)
}

fn test_tools(_: &Context) -> Result<Report> {
    prerequisites::ensure(&[Purpose::Test])?;
    Ok(Report::passed())
}

fn unit_tests(context: &Context) -> Result<Report> {
    let arguments: &[&str] = match context.unit_runner {
        UnitRunner::Nextest => &[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests=pass",
        ],
        // --tests leaves the doctests to their own step.
        UnitRunner::Cargo => &["test", "--workspace", "--no-fail-fast", "--tests"],
    };
    context.tests("unit tests", context.cargo(arguments))
}

fn doctests(context: &Context) -> Result<Report> {
    let arguments = ["test", "--workspace", "--no-fail-fast", "--doc"];
    context.tests("doctests", context.cargo(&arguments))
}

fn machine_tools(_: &Context) -> Result<Report> {
    prerequisites::ensure(&[Purpose::Kernel, Purpose::Machine])?;
    Ok(Report::passed())
}

fn kernels(_: &Context) -> Result<Report> {
    let mut report = Report::default();
    for series in KernelSeries::ALL {
        build_series(series, Freshness::Cached)?;
        report.add(Report::passed());
    }
    Ok(report)
}

fn selftests(_: &Context) -> Result<Report> {
    let mut report = Report::default();
    for series in KernelSeries::ALL {
        locate(series)?.selftests()?;
        report.add(Report::passed());
    }
    Ok(report)
}

fn guest_programs(context: &Context) -> Result<Report> {
    guest::guest_binaries(&context.workspace)?;
    Ok(Report::passed())
}

/// Runs the test targets that packages declare in `[package.metadata.xtask] machine-tests`.
fn machine_tests(context: &Context) -> Result<Report> {
    let mut report = Report::default();
    for (package, test) in context.workspace.machine_tests() {
        let name = format!("{package} {test}");
        let command = context.cargo(&["test", "--package", &package, "--test", &test]);
        let mut found = context.tests(&name, command)?;
        if context.strictness == Strictness::Strict && found.counts.skipped > 0 {
            found
                .notes
                .push("CI=true: a skipped machine test is a failure".to_owned());
            found.counts.failed += found.counts.skipped;
            found.counts.skipped = 0;
        }
        report.add(found);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace::Workspace;

    fn context(metadata: &serde_json::Value) -> Context {
        let workspace = json!({
            "packages": [{
                "name": "e2e", "manifest_path": "/w/dev/e2e/Cargo.toml",
                "dependencies": [], "metadata": metadata,
            }],
            "workspace_root": "/w", "target_directory": "/w/target",
        });
        Context {
            workspace: serde_json::from_value::<Workspace>(workspace).unwrap(),
            strictness: Strictness::Lenient,
            unit_runner: UnitRunner::Cargo,
        }
    }

    fn names(extent: Extent, context: &Context) -> Vec<&'static str> {
        all(extent, context).iter().map(|step| step.name).collect()
    }

    #[test]
    fn quick_runs_neither_kernels_nor_machines() {
        let declared = context(&json!({ "xtask": { "machine-tests": ["scenarios"] } }));
        let quick = names(Extent::Quick, &declared);
        assert!(quick.contains(&"unit tests"));
        assert!(!quick.contains(&"kernels") && !quick.contains(&"machine tests"));
    }

    #[test]
    fn declared_machine_tests_come_last() {
        let declared = context(&json!({ "xtask": { "machine-tests": ["scenarios"] } }));
        assert_eq!(
            names(Extent::Full, &declared).last(),
            Some(&"machine tests")
        );
        assert_eq!(
            declared.workspace.machine_tests(),
            [("e2e".into(), "scenarios".into())]
        );
        let plain = context(&json!(null));
        assert!(!names(Extent::Full, &plain).contains(&"machine tests"));
    }

    #[test]
    fn every_need_is_an_earlier_step() {
        let declared = context(&json!({ "xtask": { "machine-tests": ["scenarios"] } }));
        let mut seen = Vec::new();
        for step in all(Extent::Full, &declared) {
            for need in step.needs {
                assert!(seen.contains(need), "{} needs {need}", step.name);
            }
            seen.push(step.name);
        }
    }
}
