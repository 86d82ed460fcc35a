//! `cargo xtask demo`: one live update to look at, with every step checked, on an emulated machine or on
//! real kernels.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::output;
use crate::workspace::Workspace;

mod emulated;
mod steps;
mod vm;

use self::steps::Steps;

const KEYS: u64 = 1_000_000;
/// The values alone are more than 256 MiB.
const VALUE_BYTES: u64 = 272;
/// Memory of the cache: room for the values and what finds them.
const ARENA: &str = "512M";

/// What the demo runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The emulated machine: seconds, nothing privileged.
    Emulated,
    /// Real kernels in a virtual machine.
    Vm,
}

/// A machine with luod and kvcache.
trait Host {
    /// `luoctl --json WORD`, parsed.
    fn luoctl(&self, word: &str) -> Result<Value>;

    /// `luoctl report`, for people.
    fn report(&self) -> Result<String>;

    /// `kvcache-load` with this action, keys and values; what it prints.
    fn load(&self, action: &str) -> Result<String>;

    /// The update, until kvcache answers again.
    fn update(&mut self) -> Result<()>;

    /// What `update` does, as an operator types it.
    fn update_command(&self) -> String;

    /// Ends the machine.
    fn end(self) -> Result<()>;
}

/// Shows the update; an error is whatever is not as it should be.
pub(crate) fn run(stage: Stage) -> Result<()> {
    let workspace = Workspace::load()?;
    let logs = workspace.target.join("xtask-logs");
    output::line("A live update: the kernel is replaced, a cache keeps its memory.\n");
    let started = Instant::now();
    let shown = match stage {
        Stage::Emulated => emulated::boot(&workspace).and_then(|(host, steps)| show(host, steps)),
        Stage::Vm => vm::boot(&workspace).and_then(|(host, steps)| show(host, steps)),
    };
    shown.with_context(|| format!("the demo failed; its logs are in {}", logs.display()))?;
    let seconds = started.elapsed().as_secs_f64();
    output::line(&format!("\nNothing was lost. {seconds:.0} s in all.\n"));
    output::line(match stage {
        Stage::Emulated => ON_KERNELS,
        Stage::Vm => YOURSELF,
    });
    Ok(())
}

fn show(mut host: impl Host, mut steps: Steps) -> Result<()> {
    let first = host.luoctl("status")?;

    steps.begin(&format!(
        "Filling kvcache with {} keys of {VALUE_BYTES} bytes",
        grouped(KEYS)
    ));
    let filled = host.load("fill")?;
    steps.done(&format!("{filled}: {}", arena(&host)?));

    steps.begin(&format!("Updating the kernel: {}", host.update_command()));
    host.update()?;
    let last = host.luoctl("status")?;
    steps.done(&format!(
        "Linux {} runs; kvcache answers again",
        last["release"].as_str().unwrap_or("(unknown)")
    ));

    steps.begin("Checking every key");
    let verified = host.load("verify")?;
    ensure!(
        verified.starts_with(&format!("verified {KEYS} keys, 0 missing, 0 wrong")),
        "kvcache-load said: {verified}"
    );
    let last = host.luoctl("status")?;
    check(&first, &last, &host.luoctl("report")?)?;
    steps.done(&verified);

    let report = host.report()?;
    host.end()?;
    output::line(&format!(
        "\nbefore  {}\nafter   {}",
        state(&first),
        state(&last)
    ));
    output::line("\nluoctl report");
    for line in report.lines() {
        output::line(&format!("  {line}"));
    }
    Ok(())
}

/// The way on from here.
const YOURSELF: &str = "To run luoctl yourself, as root on a host booted with `liveupdate=on kho=on`: \
    cargo build --release -p luod -p luoctl, start target/release/luod, then target/release/luoctl status";
/// The way on from the emulated machine.
const ON_KERNELS: &str = "The kernel of this machine was emulated, luod, luoctl and kvcache were not. \
    `cargo xtask demo --vm` does the same with Linux 7.2 and 7.3 in a virtual machine.";

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

fn arena(host: &impl Host) -> Result<String> {
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
