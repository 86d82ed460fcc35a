//! What `/proc/kallsyms` would show.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use kernel_symbols::Module;
use kernel_symbols::module::Phase;

use crate::corpus::{Corpus, CorpusModule};

/// Where x86-64 has modules.
const BASE: u64 = 0xffff_ffff_c000_0000;

/// The text of `/proc/kallsyms` of a kernel with this `System.map` and all modules of a corpus, one behind the other.
///
/// # Errors
/// A module cannot be read.
pub fn kallsyms_text(system_map: &str, corpus: &Corpus) -> Result<String> {
    let mut text = system_map.to_owned();
    let mut base = BASE;
    for CorpusModule { name, bytes } in &corpus.modules {
        let module = Module::parse(bytes).with_context(|| format!("use {name}"))?;
        for symbol in module.table(base, Phase::Live)?.symbols() {
            if symbol.kind().is_counted() && !symbol.name().as_bytes().is_empty() {
                let (addr, kind) = (symbol.address(), symbol.kind().letter());
                writeln!(text, "{addr:016x} {kind} {}\t[{name}]", symbol.name())?;
            }
        }
        let regions = module.regions_from(base, Phase::Loading);
        base = regions.last().map_or(base, |region| region.end);
    }
    Ok(text)
}
