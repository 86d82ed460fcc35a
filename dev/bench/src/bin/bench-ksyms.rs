//! Speed of kernel symbols: `cargo xtask bench ksyms` runs it, optimised. Nothing is asserted.
#![expect(clippy::print_stdout, reason = "a measurement is there to be read")]

use std::path::PathBuf;

use anyhow::Context as _;

/// Measures kernel symbols.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Turns.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Folder for what is measured with: some 20 MB.
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments: Arguments = clap::Parser::parse();
    std::fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("make {}", arguments.folder.display()))?;
    for line in bench::ksyms::measure(&arguments.folder, arguments.runs)? {
        println!("{line}");
    }
    Ok(())
}
