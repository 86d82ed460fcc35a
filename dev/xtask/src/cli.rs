//! The commands, as typed.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use kernel_build::{Flavour, Freshness, KernelSeries, build_flavour, build_series};
use systemd_guest::Suite;

use crate::demo::Stage;
use crate::host::prepare;
use crate::kernel_command::{self, KernelCommand};
use crate::prerequisites::{self, Purpose};
use crate::test_run::{self, Extent};
use crate::workspace::Workspace;
use crate::{demo, dist, files, fuzz, guest, layers, links, output};

/// Builds kernels, checks the workspace and runs every test.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every check and test; the last line counts them.
    ///
    /// Missing tools are installed with apt as root, else the command that installs them is printed. Logs are in
    /// xtask-logs/ of the target folder. With CI=true nothing may be skipped.
    Test {
        /// Leave out kernels and guest machines.
        #[arg(long)]
        quick: bool,
        /// Run only the scenarios in guest machines whose name contains this.
        #[arg(long, value_name = "FILTER", conflicts_with = "quick")]
        only: Option<String>,
    },
    /// Show a live update: a cache with a million keys keeps its memory while the kernel under it is replaced.
    ///
    /// On an emulated machine, which takes seconds, no kernel, no QEMU and no privileges; luod, luoctl and the cache are the real ones.
    /// Logs are in xtask-logs/ of the target folder.
    Demo {
        /// On real kernels: builds them (some ten minutes each, once), boots Linux 7.2 in a virtual machine and updates to Linux 7.3.
        #[arg(long)]
        vm: bool,
    },
    /// Update a machine many times in a row, between two kernels and on the emulated machine, with content that changes.
    ///
    /// What was seen after each update is in e2e-logs/soak and e2e-logs/emulated/soak of the target folder.
    Soak {
        /// How many updates.
        #[arg(long, default_value_t = 100)]
        updates: u32,
    },
    /// Measure; nothing is asserted.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Give damaged input to everything that parses: no panic, no memory that the input does not justify.
    ///
    /// Inputs are made of numbers, and the same every time. One that fails is left in fuzz/ of the target folder.
    Fuzz {
        /// Inputs for each target.
        #[arg(long, default_value_t = 1_000_000)]
        count: u64,
        /// Number of the first input.
        #[arg(long, default_value_t = 1 << 32)]
        from: u64,
        /// Only this target, for example handover.
        #[arg(long)]
        target: Option<String>,
    },
    /// Build, list and find the kernels of the test matrix.
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// Build the static programs that run inside guest machines and print their folder.
    Guest,
    /// Make Debian packages of luod with luoctl, and of the client library for C, and print their paths.
    ///
    /// The first has units, manual pages, completions and the book.
    Dist,
    /// Build the root file system of the guest with systemd, from Debian's packages, and print its image.
    SystemdRoot {
        /// Build it again, with the packages of today.
        #[arg(long)]
        refresh: bool,
    },
    /// Check that dependencies between the layer folders point down only.
    Layers,
    /// Check length and head of source files, unsafe outside sys/, and words that must not be here.
    Files,
    /// Check that links between Markdown files lead somewhere and that the book in docs/ lists all its pages.
    Links,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Measure the blackout of live updates beside the bare kexec of the kernel's selftest, for several sizes of memory
    /// and for 200 services with 4 GiB together.
    ///
    /// About three minutes a run. The numbers are also in xtask-logs/bench-update.json of the target folder.
    Update {
        /// Runs of each case; they are interleaved.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Only the case of this name, as the table has it; may be repeated.
        #[arg(long = "case")]
        cases: Vec<String>,
    },
    /// Measure how fast a large handover is verified and listed, beside a plain read of the same bytes, and the engine.
    Handover {
        /// Bytes in memfds, in GiB, all in folios of 4 KiB; the file takes 4 MiB of disk for each.
        #[arg(long, default_value_t = 1024)]
        gib: u64,
        /// Turns.
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// Measure tables of kernel symbols beside blazesym, a loader in C and the kernel's own way.
    ///
    /// Needs the kernel 7.3 of the cache (`cargo xtask kernel build 7.3`) and fetches modules of a Debian kernel, once.
    Ksyms {
        /// Turns; the least time counts.
        #[arg(long, default_value_t = 9)]
        runs: usize,
    },
    /// Measure how fast SFrame data is looked up and frames are unwound, beside libsframe, simple-frame-rs and framehop.
    ///
    /// Needs gcc and an assembler that knows --gsframe. The source of a large program is taken from a crate, libsframe from
    /// Debian sid; what cannot be had is said and left out.
    Sframe {
        /// Turns; the least of each number counts.
        #[arg(long, default_value_t = 7)]
        runs: usize,
    },
    /// Measure checksums of a kernel's objects beside the kernel's own objtool.
    ///
    /// Builds the kernel for livepatching when the cache has none.
    Klp {
        /// Runs of each program; they take turns.
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Measure how fast initramfs images of 800 MB are listed and built, beside 3cpio.
    ///
    /// The peer is built from its crate, once.
    Initrd {
        /// Runs of each program; they take turns.
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Measure how long calls take on the emulated machine, in microseconds.
    Emulator {
        /// Calls of each kind.
        #[arg(long, default_value_t = 20_000)]
        calls: u32,
    },
}

/// Runs what was asked for.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    match cli.task {
        Task::Test { quick, only } => {
            let extent = match (quick, only) {
                (true, _) => Extent::Quick,
                (false, None) => Extent::Full,
                (false, Some(filter)) => Extent::Scenarios(filter),
            };
            return test_run::run(&extent);
        }
        Task::Demo { vm: false } => demo::run(Stage::Emulated)?,
        Task::Demo { vm: true } => demo::run(Stage::Vm)?,
        Task::Soak { updates } => return test_run::run(&Extent::Soak(updates)),
        Task::Bench(BenchCommand::Update { runs, cases }) => bench_update(runs, &cases)?,
        Task::Bench(BenchCommand::Handover { gib, runs }) => bench_handover(gib, runs)?,
        Task::Bench(BenchCommand::Ksyms { runs }) => {
            measure("bench-ksyms", &["--runs", &runs.to_string()])?;
        }
        Task::Bench(BenchCommand::Sframe { runs }) => {
            measure("bench-sframe", &["--runs", &runs.to_string()])?;
        }
        Task::Bench(BenchCommand::Klp { runs }) => bench_klp(runs)?,
        Task::Bench(BenchCommand::Initrd { runs }) => bench_initrd(runs)?,
        Task::Bench(BenchCommand::Emulator { calls }) => bench_emulator(calls)?,
        Task::Fuzz {
            count,
            from,
            target,
        } => fuzz::run(from, count, target.as_deref())?,
        Task::Kernel(command) => kernel_command::run(command)?,
        Task::Guest => {
            let folder = guest::guest_binaries(&Workspace::load()?)?;
            output::line(&folder.display().to_string());
        }
        Task::Dist => {
            let workspace = Workspace::load()?;
            let package = dist::package(&workspace, &guest::package_binaries(&workspace)?)?;
            output::line(&package.display().to_string());
            let library = guest::c_library(&workspace)?;
            for package in dist::library_packages(&workspace, &library)? {
                output::line(&package.display().to_string());
            }
        }
        Task::SystemdRoot { refresh } => systemd_root(if refresh {
            Freshness::Refresh
        } else {
            Freshness::Cached
        })?,
        Task::Layers => check_layers()?,
        Task::Files => check_files()?,
        Task::Links => check_links()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn systemd_root(freshness: Freshness) -> Result<()> {
    prerequisites::ensure(&[Purpose::Machine])?;
    for suite in Suite::ALL {
        let root = systemd_guest::build(suite, freshness)?;
        output::line(&root.image.display().to_string());
    }
    Ok(())
}

fn bench_update(runs: usize, cases: &[String]) -> Result<()> {
    prerequisites::ensure(&[Purpose::Kernel, Purpose::Machine])?;
    let workspace = Workspace::load()?;
    for series in KernelSeries::ALL {
        build_series(series, Freshness::Cached)?.selftests()?;
    }
    let logs = prepare(&workspace)?;
    bench::update(
        runs,
        cases,
        &logs.join("bench"),
        &logs.join("bench-update.json"),
    )
}

fn bench_klp(runs: usize) -> Result<()> {
    prerequisites::ensure(&[Purpose::Kernel])?;
    let workspace = Workspace::load()?;
    let kernel = build_flavour(KernelSeries::V7_3, Flavour::Livepatch, Freshness::Cached)?;
    let klp = optimised(&workspace, "klp")?;
    let folder = workspace.target.join("xtask-logs").join("bench-klp");
    bench::klp(&klp, &kernel, runs, &folder)
}

fn bench_initrd(runs: usize) -> Result<()> {
    let workspace = Workspace::load()?;
    let luoctl = optimised(&workspace, "luoctl")?;
    let folder = workspace.target.join("xtask-logs").join("bench-initrd");
    bench::initrd(&luoctl, runs, &folder)
}

/// Builds a program as its users have it, and says where it is.
fn optimised(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let build = ["build", "--quiet", "--release", "-p", package];
    let built = cargo.current_dir(&workspace.root).args(build).status()?;
    if !built.success() {
        bail!("{package} does not build: {built}");
    }
    Ok(workspace.target.join("release").join(package))
}

fn bench_handover(gib: u64, runs: usize) -> Result<()> {
    let (gib, runs) = (gib.to_string(), runs.to_string());
    measure("bench-handover", &["--gib", &gib, "--runs", &runs])
}

/// Runs a measurement in a program of its own: this one is not optimised.
fn measure(program: &str, arguments: &[&str]) -> Result<()> {
    let workspace = Workspace::load()?;
    let folder = workspace.target.join("xtask-logs").join("bench");
    let run = [
        "run",
        "--quiet",
        "--release",
        "-p",
        "bench",
        "--bin",
        program,
        "--",
    ];
    let status = std::process::Command::new(env!("CARGO"))
        .current_dir(&workspace.root)
        .args(run)
        .args(arguments)
        .arg("--folder")
        .arg(folder)
        .status()?;
    if !status.success() {
        bail!("the measurement failed: {status}");
    }
    Ok(())
}

/// The client says what it measures.
fn bench_emulator(calls: u32) -> Result<()> {
    let workspace = Workspace::load()?;
    let build = [
        "build",
        "--quiet",
        "--release",
        "-p",
        "luo-emu",
        "-p",
        "luo-cases",
    ];
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let built = cargo.current_dir(&workspace.root).args(build).status()?;
    if !built.success() {
        bail!("luo-emu and luo-cases are not built: {built}");
    }
    let folder = workspace.target.join("release");
    let status = std::process::Command::new(folder.join("luo-emu"))
        .args(["run", "--quiet", "--"])
        .arg(folder.join("luo-cases"))
        .args(["time", &calls.to_string()])
        .status()?;
    if !status.success() {
        bail!("the measurement failed: {status}");
    }
    Ok(())
}

fn check_layers() -> Result<()> {
    let workspace = Workspace::load()?;
    let violations = layers::violations(&workspace);
    if !violations.is_empty() {
        bail!(
            "{} in the layers:\n{}",
            violations.len(),
            violations.join("\n")
        );
    }
    output::line(&format!(
        "{} packages, every dependency points down",
        workspace.packages.len()
    ));
    Ok(())
}

fn check_files() -> Result<()> {
    let findings = files::check(&Workspace::load()?.root)?;
    for warning in &findings.warnings {
        output::line(&format!("warning: {warning}"));
    }
    if !findings.errors.is_empty() {
        bail!(
            "{} in the files:\n{}",
            findings.errors.len(),
            findings.errors.join("\n")
        );
    }
    output::line(&format!("{} files are as they should be", findings.files));
    Ok(())
}

fn check_links() -> Result<()> {
    let findings = links::check(&Workspace::load()?.root)?;
    if !findings.errors.is_empty() {
        bail!(
            "{} in the links:\n{}",
            findings.errors.len(),
            findings.errors.join("\n")
        );
    }
    output::line(&format!(
        "{} links in {} files lead somewhere",
        findings.links, findings.files
    ));
    Ok(())
}
