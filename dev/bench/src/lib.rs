//! Measurements beside a peer, in one run: handovers ([`handover`]), kernel symbols ([`ksyms`]), SFrame data
//! ([`sframe`]), checksums of a kernel's objects ([`klp()`]), initramfs images ([`initrd()`]), and live updates ([`update()`]).
//!
//! # Live updates
//!
//! How long services are down in a live update, beside the bare kexec of the
//! kernel's own selftest, on the same guest machine and in the same run.
//!
//! Both begin when the last thing before the jump begins, both end when what was preserved is back
//! in the hands of its owner:
//!
//! * bare: from `reboot(2)` to the end of the selftest's second stage (`luo_kexec_simple`), which
//!   the guest starts by itself at boot. Before the jump luod and a service run beside it, as in
//!   the other cases; they take no part, and after the jump they do not run.
//! * ours: from the start of FREEZE to the first answer of `kvcache` to a client, both started by
//!   the guest by themselves at boot, with luod.
//!
//! With many services every one's own time is measured as well, from its freeze to its running again.
//!
//! Every moment is read from the processor's counter, which runs through the jump. Repetitions are
//! interleaved, so that a busy machine meets all alike. Nothing is asserted.

mod contender;
mod guest;
pub mod handover;
mod initrd;
mod klp;
pub mod ksyms;
mod sample;
pub mod sframe;
mod table;

pub use initrd::initrd;
pub use klp::klp;

use std::path::Path;

use anyhow::Context as _;

use crate::guest::Case;
use crate::sample::Samples;

/// Measures `runs` times each case, or those of these names, prints a table, and writes every number to
/// `json`. Logs of the machines are in `logs`.
///
/// # Errors
/// A guest program, kernel or selftest is not built, no case has such a name, or a machine failed.
pub fn update(runs: usize, names: &[String], logs: &Path, json: &Path) -> anyhow::Result<()> {
    let cases = Case::named(names)?;
    let mut samples = Samples::default();
    for run in 0..runs {
        for &case in &cases {
            let folder = logs.join(format!("{}-{run}", case.name()));
            let sample = guest::measure(case, &folder).with_context(|| {
                let (name, folder) = (case.name(), folder.display());
                format!("run {run} of {name}; logs in {folder}")
            })?;
            table::progress(run, case, &sample);
            samples.add(case, sample);
        }
    }
    table::print(&samples, &cases);
    let text = serde_json::to_string_pretty(&samples)?;
    std::fs::write(json, text).with_context(|| format!("write {}", json.display()))
}
