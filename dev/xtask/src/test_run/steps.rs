//! The steps of the test run, in order.

use std::env;
use std::process::Command;

use anyhow::{Result, anyhow};
use kernel_build::{
    Flavour, Freshness, KernelSeries, ModuleSource, build_flavour, build_module, debian_program,
    locate,
};
use systemd_guest::Suite;

use super::context::{Context, Report, Strictness, UnitRunner};
use super::counts::Counts;
use super::runner::Extent;
use crate::prerequisites::{self, Purpose};
use crate::{dist, files, fuzz, guest, layers, links};

/// In front of the names of tests on the emulated machine.
const EMULATED: &str = "emulated::";

/// The body of a step.
pub(super) type StepFn = fn(&Context) -> Result<Report>;

/// One step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    /// Steps without which this one makes no sense.
    pub(super) needs: &'static [&'static str],
    pub(super) run: StepFn,
}

const fn step(name: &'static str, needs: &'static [&'static str], run: StepFn) -> Step {
    Step { name, needs, run }
}

/// What the README tells everybody to try first.
const DEMO: Step = step("demo", &[], demo);

/// Lists the steps of an extent.
pub(super) fn all(extent: &Extent, context: &Context) -> Vec<Step> {
    let mut steps = match extent {
        Extent::Quick => [on_this_machine(), on_emulated_machines(context)].concat(),
        Extent::Full => {
            let packages = step("library packages", &["guest programs"], library_packages);
            let here = [on_this_machine(), vec![DEMO], before_machines()];
            [here.concat(), vec![packages]].concat()
        }
        Extent::Scenarios(_) | Extent::Soak(_) => before_machines(),
    };
    if *extent == Extent::Full {
        steps.push(step("header check", &["kernels"], header_check));
    }
    if *extent != Extent::Quick && !context.workspace.machine_tests().is_empty() {
        let needs = &[
            "kernels",
            "rust kernels",
            "selftests",
            "programs",
            "guest programs",
            "systemd root",
            "Debian package",
        ];
        steps.push(step("machine tests", needs, machine_tests));
    }
    steps
}

/// What needs neither kernels nor machines.
fn on_this_machine() -> Vec<Step> {
    vec![
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
        step("fuzz", &[], bounded_fuzz),
    ]
}

/// Scenarios without kernels; a full run has them among its machine tests.
fn on_emulated_machines(context: &Context) -> Vec<Step> {
    if context.workspace.emulated_tests().is_empty() {
        return Vec::new();
    }
    let needs = &["guest programs"];
    vec![
        step("guest programs", &[], guest_programs),
        step("emulated machine tests", needs, emulated_tests),
        DEMO,
    ]
}

/// What tests in machines run on.
fn before_machines() -> Vec<Step> {
    vec![
        step("machine tools", &[], machine_tools),
        step("kernels", &["machine tools"], kernels),
        step("rust kernels", &["machine tools"], rust_kernels),
        step("selftests", &["kernels"], selftests),
        step("programs", &[], programs),
        step("guest programs", &["machine tools"], guest_programs),
        step("systemd root", &["machine tools"], systemd_root),
        step("Debian package", &["guest programs"], debian_package),
    ]
}

fn format(context: &Context) -> Result<Report> {
    let mut report = context.check("format", context.cargo(&["fmt", "--all", "--check"]))?;
    // Not cargo's: kernels build it, by the edition they have.
    let mut rustfmt = Command::new("rustfmt");
    rustfmt
        .current_dir(&context.workspace.root)
        .args(["--check", "--edition", "2021", "--style-edition", "2024"])
        .arg("kmod/pstore_kho/backend.rs");
    report.add(context.check("format kmod", rustfmt)?);
    Ok(report)
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

/// Every target; those with `test = false`, which `--all-targets` leaves out, one by one.
fn clippy(context: &Context) -> Result<Report> {
    let deny = ["--", "-D", "warnings"];
    let all = ["clippy", "--workspace", "--all-targets"];
    let mut report = context.check("clippy", context.cargo(&[&all[..], &deny].concat()))?;
    for (package, test) in context.workspace.machine_tests() {
        let one = ["clippy", "--package", &package, "--test", &test];
        let command = context.cargo(&[&one[..], &deny].concat());
        report.add(context.check(&format!("clippy {package} {test}"), command)?);
    }
    Ok(report)
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

/// The same damaged inputs every time; `cargo xtask fuzz` runs others, and more.
fn bounded_fuzz(context: &Context) -> Result<Report> {
    let workspace = &context.workspace;
    context.check("fuzz", fuzz::command(workspace, 0, fuzz::BOUNDED, None))
}

fn demo(context: &Context) -> Result<Report> {
    context.check("demo", context.cargo(&["xtask", "demo"]))
}

fn machine_tools(_: &Context) -> Result<Report> {
    prerequisites::ensure(&[Purpose::Kernel, Purpose::Machine])?;
    Ok(Report::passed())
}

fn kernels(_: &Context) -> Result<Report> {
    let mut report = Report::default();
    for flavour in Flavour::USUAL {
        for series in flavour.series() {
            build_flavour(*series, flavour, Freshness::Cached)?;
            report.add(Report::passed());
        }
    }
    Ok(report)
}

/// Kernels that load modules in Rust, and the modules of kmod/ for each.
fn rust_kernels(context: &Context) -> Result<Report> {
    let mut report = Report::default();
    let module = ModuleSource::pstore_kho(&context.workspace.root);
    for series in Flavour::Rust.series() {
        let kernel = build_flavour(*series, Flavour::Rust, Freshness::Cached)?;
        build_module(&kernel, &module)?;
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

/// Programs of Debian's that scenarios run.
fn programs(_: &Context) -> Result<Report> {
    let found = debian_program("memcached", Freshness::Cached)?;
    let mut report = Report::passed();
    report.notes.push(found.package);
    Ok(report)
}

fn guest_programs(context: &Context) -> Result<Report> {
    guest::guest_binaries(&context.workspace)?;
    Ok(Report::passed())
}

/// Of the programs just built, for the guest that installs it.
fn debian_package(context: &Context) -> Result<Report> {
    let programs = guest::guest_binaries(&context.workspace)?;
    dist::package(&context.workspace, &programs)?;
    Ok(Report::passed())
}

/// The client library for C, installed, built with and run beside luod.
fn library_packages(context: &Context) -> Result<Report> {
    let workspace = &context.workspace;
    let library = guest::c_library(workspace)?;
    let packages = dist::library_packages(workspace, &library)?;
    let programs = guest::guest_binaries(workspace)?;
    dist::check_installed(&packages, &programs)?;
    Ok(Report::passed())
}

fn systemd_root(_: &Context) -> Result<Report> {
    let mut report = Report::default();
    for suite in Suite::ALL {
        systemd_guest::build(suite, Freshness::Cached)?;
        report.add(Report::passed());
    }
    Ok(report)
}

/// Compares the ABI crates with every kernel's headers, also as the kernel's own build sees them.
fn header_check(_: &Context) -> Result<Report> {
    let mut report = Report::default();
    for series in KernelSeries::ALL {
        let kernel = locate(series)?;
        let found = header_check::check(&kernel.source, Some(&kernel.headers))?;
        if !found.is_clean() {
            return Err(anyhow!("kernel {}:\n{found}", kernel.version));
        }
        report.add(Report::passed());
        let note = format!("kernel {}: {} values", kernel.version, found.compared);
        report.notes.push(note);
    }
    Ok(report)
}

/// Runs the test targets that packages declare in `[package.metadata.xtask] machine-tests`.
fn machine_tests(context: &Context) -> Result<Report> {
    let sources: Result<Vec<_>, _> = KernelSeries::ALL
        .into_iter()
        .map(|series| locate(series).map(|kernel| kernel.source))
        .collect();
    let sources = env::join_paths(sources?)?;
    let mut report = Report::default();
    for (package, test) in context.workspace.machine_tests() {
        let name = format!("{package} {test}");
        let mut command = context.cargo(&["test", "--package", &package, "--test", &test]);
        // What is missing is a failure here: the steps before have built it.
        command
            .env("E2E_REQUIRE", "1")
            .env("HEADER_CHECK_SOURCES", &sources);
        if let Some(updates) = context.updates {
            command.env("E2E_UPDATES", updates.to_string());
        }
        if let Some(filter) = &context.only {
            command.args(["--", filter]);
        }
        let found = context.long_tests(&name, command)?;
        report.add(strictly(context.strictness, found));
    }
    if report.counts == Counts::default() {
        let filter = context.only.as_deref().unwrap_or_default();
        return Err(anyhow!("no machine test has {filter:?} in its name"));
    }
    Ok(report)
}

/// Runs those of the tests above that need no kernels. A host that does not let them is told by a skip.
fn emulated_tests(context: &Context) -> Result<Report> {
    let mut report = Report::default();
    for (package, test) in context.workspace.emulated_tests() {
        let name = format!("{package} {test} emulated");
        let test = ["test", "--package", &package, "--test", &test];
        let command = context.cargo(&[&test[..], &["--", EMULATED]].concat());
        let found = context.long_tests(&name, command)?;
        report.add(strictly(context.strictness, found));
    }
    Ok(report)
}

/// Under continuous integration a test that did not run has failed.
fn strictly(strictness: Strictness, mut report: Report) -> Report {
    if strictness == Strictness::Strict && report.counts.skipped > 0 {
        report
            .notes
            .push("CI=true: a skipped machine test is a failure".to_owned());
        report.counts.failed += report.counts.skipped;
        report.counts.skipped = 0;
    }
    report
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
            only: None,
            updates: None,
        }
    }

    fn names(extent: &Extent, context: &Context) -> Vec<&'static str> {
        all(extent, context).iter().map(|step| step.name).collect()
    }

    #[test]
    fn quick_runs_neither_kernels_nor_machines() {
        let declared = context(&json!({ "xtask": { "machine-tests": ["scenarios"] } }));
        let quick = names(&Extent::Quick, &declared);
        assert!(quick.contains(&"unit tests"));
        assert!(!quick.contains(&"kernels") && !quick.contains(&"machine tests"));
        assert!(!quick.contains(&"emulated machine tests"));
    }

    #[test]
    fn quick_runs_what_needs_an_emulated_machine_only() {
        let tests = json!({ "machine-tests": ["scenarios"], "emulated-tests": ["scenarios"] });
        let declared = context(&json!({ "xtask": tests }));
        let quick = names(&Extent::Quick, &declared);
        assert!(quick.ends_with(&["guest programs", "emulated machine tests", "demo"]));
        assert!(!quick.contains(&"kernels") && !quick.contains(&"machine tests"));
        assert!(!names(&Extent::Full, &declared).contains(&"emulated machine tests"));
    }

    #[test]
    fn declared_machine_tests_come_last() {
        let declared = context(&json!({ "xtask": { "machine-tests": ["scenarios"] } }));
        assert_eq!(
            names(&Extent::Full, &declared).last(),
            Some(&"machine tests")
        );
        assert_eq!(
            declared.workspace.machine_tests(),
            [("e2e".into(), "scenarios".into())]
        );
        let plain = context(&json!(null));
        assert!(!names(&Extent::Full, &plain).contains(&"machine tests"));
    }

    #[test]
    fn only_some_scenarios_still_need_everything_that_machines_run_on() {
        let declared = context(&json!({ "xtask": { "machine-tests": ["scenarios"] } }));
        let steps = names(&Extent::Scenarios("update".into()), &declared);
        let wanted = [
            "machine tools",
            "kernels",
            "rust kernels",
            "selftests",
            "programs",
            "guest programs",
            "systemd root",
            "Debian package",
            "machine tests",
        ];
        assert_eq!(steps, wanted);
    }

    #[test]
    fn skipped_machine_test_fails_in_ci_only() {
        let skipped = || Report {
            counts: Counts::ONE_SKIPPED,
            notes: Vec::new(),
        };
        let strict = strictly(Strictness::Strict, skipped());
        assert_eq!(strict.counts, Counts::ONE_FAILED);
        let lenient = strictly(Strictness::Lenient, skipped());
        assert_eq!(lenient.counts, Counts::ONE_SKIPPED);
    }

    #[test]
    fn every_need_is_an_earlier_step() {
        let declared = context(&json!({ "xtask": { "machine-tests": ["scenarios"] } }));
        let mut seen = Vec::new();
        for step in all(&Extent::Full, &declared) {
            for need in step.needs {
                assert!(seen.contains(need), "{} needs {need}", step.name);
            }
            seen.push(step.name);
        }
    }
}
