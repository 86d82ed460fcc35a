//! The loader in C, compiled and run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/c/kallsyms_loader.c");

/// What it measured of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) load_ns: f64,
    pub(super) lookup_ns: f64,
}

/// Compiles it, and has it load a file and look up addresses.
pub(super) fn measure(
    text: &Path,
    folder: &Path,
    addrs: &[u64],
    runs: usize,
) -> anyhow::Result<Measured> {
    let (program, list) = (folder.join("kallsyms_loader"), folder.join("addresses.bin"));
    let bytes: Vec<u8> = addrs.iter().flat_map(|addr| addr.to_ne_bytes()).collect();
    std::fs::write(&list, bytes)?;
    let built = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(SOURCE)
        .status();
    ensure!(
        built.context("start the C compiler, cc")?.success(),
        "{SOURCE} does not compile"
    );
    let mut command = Command::new(&program);
    let output = command.arg(text).arg(list).arg(runs.to_string()).output()?;
    ensure!(
        output.status.success(),
        "the loader in C failed: {}",
        output.status
    );
    let output = String::from_utf8(output.stdout)?;
    let mut numbers = output.split_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next().context("the loader in C printed too little");
    Ok(Measured {
        load_ns: next()??,
        lookup_ns: next()??,
    })
}
