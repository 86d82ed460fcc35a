//! Speed of SFrame data: `cargo xtask bench sframe` runs it, optimised.
//!
//! Every number is processor time of one thread, the least of several turns, beside its peer in the same run.
//! Nothing is asserted but that all find the same.
#![expect(clippy::print_stdout, reason = "a measurement is there to be read")]

use std::path::PathBuf;

use anyhow::Context as _;

/// Measures SFrame data.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Turns.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Folder for programs and libraries.
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments: Arguments = clap::Parser::parse();
    let folder = arguments.folder.join("sframe");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    bench::sframe::measure(&folder, arguments.runs, &mut |line| println!("{line}"))
}
