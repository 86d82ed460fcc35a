//! `bench update`: how long services are down in a live update, beside the bare kexec of the
//! kernel's own selftest, on the same guest machine and in the same run.
//!
//! Both begin when the last thing before the jump begins, both end when what was preserved is back
//! in the hands of its owner:
//!
//! * bare: from `reboot(2)` to the end of the selftest's second stage (`luo_kexec_simple`), which
//!   the guest starts by itself at boot. No agent, nothing frozen, one page preserved.
//! * ours: from the start of FREEZE to the first answer of `kvcache` to a client, both started by
//!   the guest by themselves at boot, with luod.
//!
//! Every moment is read from the processor's counter, which runs through the jump. Repetitions are
//! interleaved, so that a busy machine meets all alike. Nothing is asserted.

mod guest;
mod sample;
mod table;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::guest::Case;
use crate::sample::Samples;

/// Measures live updates and prints ratios.
#[derive(Debug, Parser)]
enum Arguments {
    /// Blackout of a live update beside the bare kexec, for several sizes of memory.
    Update {
        /// Runs of each case.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Folder for the logs of the machines.
        #[arg(long, default_value = "target/bench-logs")]
        logs: PathBuf,
        /// File for the numbers, as JSON.
        #[arg(long, default_value = "target/bench-update.json")]
        json: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments::Update { runs, logs, json } = Arguments::parse();
    let mut samples = Samples::default();
    for run in 0..runs {
        for case in Case::ALL {
            let folder = logs.join(format!("{}-{run}", case.name()));
            let sample = guest::measure(case, &folder).with_context(|| {
                format!("run {run} of {}; logs in {}", case.name(), folder.display())
            })?;
            table::progress(run, case, &sample);
            samples.add(case, sample);
        }
    }
    table::print(&samples);
    let text = serde_json::to_string_pretty(&samples)?;
    std::fs::write(&json, text).with_context(|| format!("write {}", json.display()))
}
