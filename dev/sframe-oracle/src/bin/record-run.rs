//! Records a program: `record-run PROGRAM SERVER OUTPUT`. See `recordings/README.md`.
#![expect(clippy::print_stdout, reason = "what was recorded is to be read")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser as _;

/// Runs a program one instruction at a time and records what unwinding must find at each.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The program, with a section .sframe.
    program: PathBuf,
    /// What runs it: qemu-ARCH-static, or gdbserver for this machine's processor.
    server: PathBuf,
    /// The recording.
    output: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let recording = sframe_oracle::record(&arguments.program, &arguments.server)?;
    let bytes = recording.to_bytes();
    println!(
        "{}: {} instructions, {} bytes",
        arguments.output.display(),
        recording.moments.len(),
        bytes.len()
    );
    std::fs::write(&arguments.output, bytes).context("write the recording")
}
