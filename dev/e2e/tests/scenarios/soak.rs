//! Many updates in a row, with content that changes each time.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::Series;
use e2e::protocol::When;

use crate::harness::{Lab, Scenario};
use crate::host::Host;

/// How many updates, when that many are not asked for: enough to come twice to each kernel.
const UPDATES: u64 = 4;
/// Asks for another number; `cargo xtask soak` sets it.
const VARIABLE: &str = "E2E_UPDATES";
const SERVICES: usize = 8;
const SERVICE: &str = "/bin/e2e-client service --name s --count 8 --turns --quiet --item full:2 --item sparse \
     --item position";
/// Files that each service compares after a jump.
const FILES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);
/// What Linux itself leaks of a handover it has received: its FDT, the metadata and the pages of FLBs are
/// never freed (`kho_init`, `kernel/liveupdate/kexec_handover.c`, and `luo_flb.c`, v7.3), in KiB for each
/// update with some room for the sizes of its own tables, which differ from boot to boot.
const LEAK_KIB: u64 = 64;

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("soak::updates_in_a_row", updates)]
}

/// What was seen after an update.
struct Seen {
    release: String,
    update: Duration,
    blackout_ms: f64,
    /// `MemTotal`: what is reserved for good is missing there.
    memory_kib: u64,
}

fn updates(lab: &Lab) -> anyhow::Result<()> {
    let count = match env::var(VARIABLE) {
        Ok(count) => count.parse().context(VARIABLE)?,
        Err(_unset) => UPDATES,
    };
    let host = Host::boot(lab, Series::V7_2, &[("s", When::Always, SERVICE)])?;
    ready(&host, 1, "24 files filled, 0 updated")?;
    let mut seen: Vec<Seen> = Vec::new();
    for number in 1..=count {
        let to = match number % 2 {
            1 => Series::V7_3,
            _ => Series::V7_2,
        };
        let begin = Instant::now();
        host.update(to)?;
        let files = format!("0 files filled, {} updated", SERVICES * FILES);
        ready(&host, number + 1, &files).with_context(|| format!("update {number} of {count}"))?;
        let update = begin.elapsed();
        let report = host.json("report")?;
        ensure!(
            report["lost"] == serde_json::json!([]),
            "{number}: {report}"
        );
        ensure!(report["liveupdate_number"] == number, "{number}: {report}");
        seen.push(Seen {
            release: lab.platform().release(to)?,
            update,
            blackout_ms: report["blackout_ms"].as_f64().context("no blackout")?,
            memory_kib: memory(&host)?,
        });
        fs::write(lab.folder().join("updates.txt"), table(&seen))?;
    }
    for pair in seen.windows(3) {
        // Two updates later the same kernel runs.
        let [before, _, after] = pair else { continue };
        let lost = before.memory_kib.saturating_sub(after.memory_kib);
        ensure!(lost <= 2 * LEAK_KIB, "{lost} KiB less:\n{}", table(&seen));
    }
    host.check_normal(SERVICES as u64)?;
    Ok(host.machine.poweroff()?)
}

/// Waits for every service; each has compared what it wrote before the jump, and filled it anew.
fn ready(host: &Host, turn: u64, files: &str) -> anyhow::Result<()> {
    let log = host.machine.wait_log("s", "s: all ready", PATIENCE)?;
    let line = format!("s: {SERVICES} services: {files}");
    ensure!(log.lines().any(|said| said == line), "not {line:?}:\n{log}");
    let end = format!(": turn {turn}");
    let turned = log.lines().filter(|line| line.ends_with(&end)).count();
    ensure!(turned == SERVICES, "{turned} at turn {turn}:\n{log}");
    Ok(())
}

/// `MemTotal` of the guest.
fn memory(host: &Host) -> anyhow::Result<u64> {
    let text = host.machine.read_file("/proc/meminfo")?;
    let text = String::from_utf8_lossy(&text);
    let total = text.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        kib.parse().ok()
    });
    total.with_context(|| text.clone().into_owned())
}

fn table(seen: &[Seen]) -> String {
    let mut text = "update  kernel      time      blackout    memory\n".to_owned();
    for (number, seen) in (1..).zip(seen) {
        let seconds = seen.update.as_secs_f64();
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            text,
            "{number:6}  {:<10}{seconds:6.2} s  {:9.1} ms  {} KiB",
            seen.release, seen.blackout_ms, seen.memory_kib
        );
    }
    text
}
