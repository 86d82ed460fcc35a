//! Compares the ABI crates with a kernel source tree: exit 0 when equal, 1 when they differ.
#![expect(
    clippy::print_stdout,
    reason = "the report is the output of this program"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

/// Compare kho-abi, klp-abi and liveupdate-uapi with the headers of a kernel source tree.
#[derive(Debug, Parser)]
struct Arguments {
    /// Top folder of a Linux source tree, 7.2 or later; it need not be built.
    #[arg(long)]
    source: PathBuf,
    /// Folder of a configured x86 build of that tree: compile with its headers too.
    #[arg(long)]
    build: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let report = header_check::check(&arguments.source, arguments.build.as_deref())
        .with_context(|| format!("cannot check {}", arguments.source.display()))?;
    println!("{report}");
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
