//! `cargo xtask demo`: one live update to look at, from Linux 7.2.x to 7.3.x, with every step checked.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::protocol::When;
use serde_json::{Value, json};

use crate::host::{Host, Kernels, UPDATE, prepare, service};
use crate::output;
use crate::prerequisites::{self, Purpose};
use crate::workspace::Workspace;

const KEYS: u64 = 1_000_000;
/// The values alone are more than 256 MiB.
const VALUE_BYTES: u64 = 272;
const KVCACHE: &str = "/bin/kvcache --service cache --unix /run/kv.sock --memory 512M";
const MEMORY_MIB: u32 = 3072;
/// Longest time for a program in the guest, in emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
const STEPS: u32 = 7;

/// Shows the update; an error is whatever is not as it should be.
pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::load()?;
    let logs = workspace.target.join("xtask-logs");
    show(&workspace).with_context(|| format!("the demo failed; its logs are in {}", logs.display()))
}

fn show(workspace: &Workspace) -> Result<()> {
    output::line("A live update: the kernel is replaced, a cache keeps its memory.\n");
    let mut steps = Steps::default();
    let started = Instant::now();

    steps.begin("Tools");
    prerequisites::ensure(&[Purpose::Machine])?;
    steps.done("QEMU is there");

    steps.begin("Kernels");
    let kernels = Kernels::build()?;
    let (before, after) = (&kernels.before.release, &kernels.after.release);
    steps.done(&format!("Linux {before} and Linux {after}"));

    steps.begin("Programs for the guest");
    let logs = prepare(workspace)?.join("demo");
    steps.done("luod, luoctl, kvcache");

    steps.begin(&format!("Booting Linux {before} in QEMU"));
    let host = boot(&kernels, &logs)?;
    let first = host.luoctl("status")?;
    steps.done(&format!(
        "{}, 3 GiB of memory; luod and kvcache run",
        counts(&first)
    ));

    steps.begin(&format!(
        "Filling kvcache with {} keys of {VALUE_BYTES} bytes",
        grouped(KEYS)
    ));
    let filled = load(&host, "fill")?;
    steps.done(&format!("{filled}: {}", arena(&host)?));

    steps.begin(&format!("Updating the kernel: {UPDATE}"));
    let hello = host.update()?;
    host.machine
        .wait_log("kvcache", "arena kept over a live update", PATIENCE)?;
    steps.done(&format!(
        "Linux {} runs; kvcache answers again",
        hello.release
    ));

    steps.begin("Checking every key");
    let verified = load(&host, "verify")?;
    ensure!(
        verified.starts_with(&format!("verified {KEYS} keys, 0 missing, 0 wrong")),
        "kvcache-load said: {verified}"
    );
    let last = host.luoctl("status")?;
    check(&first, &last, &host.luoctl("report")?)?;
    steps.done(&verified);

    let report = host.run("/bin/luoctl report", PATIENCE)?;
    host.machine.poweroff()?;
    output::line(&format!(
        "\nbefore  {}\nafter   {}",
        state(&first),
        state(&last)
    ));
    output::line("\nluoctl report");
    for line in report.lines() {
        output::line(&format!("  {line}"));
    }
    output::line(&format!(
        "\nNothing was lost. {:.0} s in all.\n{YOURSELF}",
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// The way on from here.
const YOURSELF: &str = "To run luoctl yourself, as root on a host booted with `liveupdate=on kho=on`: \
    cargo build --release -p luod -p luoctl, start target/release/luod, then target/release/luoctl status";

fn boot(kernels: &Kernels, logs: &Path) -> Result<Host> {
    let services = [
        service("luod", When::Always, "/bin/luod"),
        service("kvcache", When::Always, KVCACHE),
    ];
    let host = Host::boot(kernels, &services, MEMORY_MIB, logs)?;
    host.machine.wait_log("kvcache", "arena new", PATIENCE)?;
    Ok(host)
}

/// `kvcache-load fill` or `verify`.
fn load(host: &Host, what: &str) -> Result<String> {
    let command = format!(
        "/bin/kvcache-load {what} --keys {KEYS} --value-bytes {VALUE_BYTES} --connect /run/kv.sock"
    );
    Ok(host.run(&command, PATIENCE)?.trim().to_owned())
}

/// The update as an operator should find it afterwards.
fn check(first: &Value, last: &Value, report: &Value) -> Result<()> {
    let count = |status: &Value, name: &str| status[name].as_u64().unwrap_or(0);
    for name in ["liveupdate_number", "kexec_count"] {
        let (before, after) = (count(first, name), count(last, name));
        ensure!(after == before + 1, "{name} was {before} and is {after}");
    }
    ensure!(
        last["phase"] == "normal",
        "the host is not back to normal: {last}"
    );
    ensure!(report["lost"] == json!([]), "something was lost: {report}");
    let is_measured = report["blackout_ms"].is_f64();
    ensure!(is_measured, "the report has no blackout: {report}");
    Ok(())
}

fn arena(host: &Host) -> Result<String> {
    let sessions = host.luoctl("sessions")?;
    let bytes = sessions["services"][0]["items"][0]["size_bytes"]
        .as_u64()
        .with_context(|| format!("luod keeps no arena: {sessions}"))?;
    let values = KEYS * VALUE_BYTES;
    Ok(format!(
        "{} MiB of values in an arena of {} MiB",
        values >> 20,
        bytes >> 20
    ))
}

fn counts(status: &Value) -> String {
    let number = |name: &str| {
        status[name]
            .as_u64()
            .map_or("unknown".to_owned(), |n| n.to_string())
    };
    format!(
        "live update number {}, kexec count {}",
        number("liveupdate_number"),
        number("kexec_count")
    )
}

fn state(status: &Value) -> String {
    let release = status["release"].as_str().unwrap_or("(unknown)");
    format!("Linux {release:<10} {}", counts(status))
}

/// `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Numbered steps, each with its time.
#[derive(Debug, Default)]
struct Steps {
    number: u32,
    started: Option<Instant>,
}

impl Steps {
    fn begin(&mut self, what: &str) {
        self.number += 1;
        self.started = Some(Instant::now());
        output::line(&format!("{}/{STEPS}  {what}", self.number));
    }

    fn done(&mut self, result: &str) {
        let time = self
            .started
            .take()
            .map_or(0.0, |at| at.elapsed().as_secs_f64());
        output::line(&format!("     {time:6.1} s  {result}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        let texts = [0, 999, 1_000, 1_000_000].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,000,000"]);
    }

    #[test]
    fn an_update_that_left_something_behind_is_no_success() {
        let first = json!({ "liveupdate_number": 0, "kexec_count": null });
        let last = json!({ "liveupdate_number": 1, "kexec_count": 1, "phase": "normal" });
        let report = json!({ "lost": [], "blackout_ms": 1.5 });
        check(&first, &last, &report).unwrap();
        let lost = json!({ "lost": [{ "item": "arena" }], "blackout_ms": 1.5 });
        assert!(check(&first, &last, &lost).is_err());
        assert!(check(&last, &last, &report).is_err());
        let unfinished = json!({ "liveupdate_number": 1, "kexec_count": 1, "phase": "updated" });
        assert!(check(&first, &unfinished, &report).is_err());
    }
}
