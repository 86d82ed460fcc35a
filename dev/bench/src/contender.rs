//! Programs that are measured beside each other: their time and their peak memory.
#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::sample::Spread;

/// How often the memory of a running program is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Programs that run one after another, and count together.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// Arguments of each run, in a folder of its own.
    pub(crate) calls: Vec<Vec<OsString>>,
    /// What each call reads.
    pub(crate) input: Option<PathBuf>,
    /// What has to be on the disk before it counts as done.
    pub(crate) sync: Option<&'static str>,
    pub(crate) threads: Option<u32>,
}

/// Times and peak memory of the runs of one contender.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    milliseconds: Vec<f64>,
    peak_kib: u64,
}

impl Contender {
    pub(crate) fn on_one_thread(mut self) -> Self {
        self.threads = Some(1);
        self
    }

    /// Runs it once.
    pub(crate) fn run(&self, folder: &Path, runs: &mut Runs) -> Result<()> {
        let start = Instant::now();
        for call in &self.calls {
            let mut command = Command::new(&self.program);
            command
                .args(call)
                .current_dir(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            if let Some(input) = &self.input {
                command.stdin(fs::File::open(input)?);
            }
            if let Some(threads) = self.threads {
                command.env("RAYON_NUM_THREADS", threads.to_string());
            }
            let mut child = command
                .spawn()
                .with_context(|| format!("run {command:?}"))?;
            runs.peak_kib = runs.peak_kib.max(watch(&mut child)?);
        }
        if let Some(file) = self.sync {
            fs::File::open(folder.join(file))?.sync_all()?;
        }
        runs.milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }
}

/// Waits for the end; returns the highest peak of resident memory that was seen, in KiB.
fn watch(child: &mut Child) -> Result<u64> {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        if let Some(end) = child.try_wait()? {
            if !end.success() {
                bail!("the measured program failed: {end}");
            }
            return Ok(peak);
        }
        peak = peak.max(high_water(&status).unwrap_or(0));
        thread::sleep(LOOK);
    }
}

fn high_water(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Prints medians, and ratios over the first, which is called `peer`.
pub(crate) fn print(
    title: &str,
    peer_name: &str,
    contenders: &[Contender],
    found: &[Runs],
) -> Result<()> {
    println!("\n{title}; median (least..most), ratios over {peer_name}");
    let spread = |runs: &Runs| Spread::of(runs.milliseconds.clone()).context("no runs");
    let first = found.first().context("no runs")?;
    let peer = spread(first)?;
    for (contender, runs) in contenders.iter().zip(found) {
        let own = spread(runs)?;
        println!(
            "{:<34} {:>7.0} ms ({:.0}..{:.0}) {:>6.1}x   {:>5} MiB {:>6.1}x",
            contender.name,
            own.median,
            own.least,
            own.most,
            peer.median / own.median,
            runs.peak_kib / 1024,
            ratio(first.peak_kib, runs.peak_kib),
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a ratio with one digit")]
fn ratio(peer: u64, own: u64) -> f64 {
    peer as f64 / own.max(1) as f64
}
