//! Kernel symbols: tables of text and of modules, beside blazesym, a loader in C and the kernel's own way.

mod c_loader;
mod clock;
mod modules;
mod text;

use std::path::Path;

use anyhow::Context as _;
use kernel_build::{KernelSeries, locate};
use symbol_cases::{Corpus, kallsyms_text};

/// A measured thing: what we take, what a peer takes, and the ratio that the project aims at.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) ours_ns: f64,
    pub(crate) peer: &'static str,
    pub(crate) peer_ns: f64,
    pub(crate) target: Option<f64>,
}

impl Row {
    fn line(&self) -> String {
        let Self {
            what,
            ours_ns,
            peer,
            peer_ns,
            target,
        } = self;
        let target = target.map_or_else(String::new, |target| format!("  (target {target})"));
        let ratio = peer_ns / ours_ns;
        let (ours, theirs) = (shown(*ours_ns), shown(*peer_ns));
        format!("{what:<44} {ours:>10}  {peer:<22} {theirs:>10}  {ratio:>7.1}x{target}")
    }
}

fn shown(ns: f64) -> String {
    match ns {
        ..1e4 => format!("{ns:.1} ns"),
        ..1e7 => format!("{:.1} us", ns / 1e3),
        _ => format!("{:.1} ms", ns / 1e6),
    }
}

/// Measures: the least CPU time of `runs` turns, ours and the peer's by turns. A line each.
///
/// # Errors
/// There is no kernel or no modules on this machine, or what is found is not what the peer finds.
pub fn measure(folder: &Path, runs: usize) -> anyhow::Result<Vec<String>> {
    let corpus = Corpus::load()?;
    let kernel = locate(KernelSeries::V7_3)?;
    let map = std::fs::read_to_string(&kernel.system_map).context("read System.map")?;
    let path = folder.join("kallsyms.txt");
    std::fs::write(&path, kallsyms_text(&map, &corpus)?)?;
    let mut lines = vec![format!(
        "System.map of {} and the {} modules of {}; least CPU time of {runs} turns",
        kernel.version,
        corpus.modules.len(),
        corpus.package
    )];
    let (rows, facts) = text::measure(&path, folder, runs)?;
    lines.extend(facts);
    lines.extend(rows.iter().map(Row::line));
    let (rows, facts) = modules::measure(&corpus, runs)?;
    lines.extend(facts);
    lines.extend(rows.iter().map(Row::line));
    Ok(lines)
}
