//! Speed of reading and making handovers: `cargo xtask bench handover` runs it, optimised.
//!
//! Reading is measured beside a plain sequential read of the same bytes, turn by turn. Nothing is
//! asserted.
#![expect(clippy::print_stdout, reason = "a measurement is there to be read")]

use std::path::PathBuf;

use anyhow::Context as _;
use bench::handover::{engine, large};

/// Measures handovers.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Bytes of memfds in the synthetic handover, in GiB, all in folios of 4 KiB.
    #[arg(long, default_value_t = 1024)]
    gib: u64,
    /// Turns.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Folder for the image of memory: sparse, some 4 MiB for each GiB.
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments: Arguments = clap::Parser::parse();
    std::fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("make {}", arguments.folder.display()))?;
    for line in engine::measure()? {
        println!("{line}");
    }
    for line in large::measure(&arguments.folder, arguments.gib, arguments.runs)? {
        println!("{line}");
    }
    Ok(())
}
