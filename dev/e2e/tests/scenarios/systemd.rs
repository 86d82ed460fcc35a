//! Live updates on a distribution: Debian with systemd as process 1.

mod guest;
mod units;

use anyhow::{Context as _, ensure};
use e2e::Series;
use serde_json::Value;

use crate::harness::{Lab, Scenario, guest_kernel};
use guest::{BOOT_PATIENCE, SystemdGuest};

/// Updates one after the other, with one kernel of which sessions were lost.
const UPDATES: u64 = 3;

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("systemd::explore", explore),
        Scenario::new("systemd::three_updates_keep_all_memory", three_updates),
    ]
}

fn explore(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot(lab)?;
    let script = std::fs::read_to_string("/tmp/sdg/explore")?;
    for line in script.lines() {
        if line == "boot" {
            guest.machine.wait_boot(BOOT_PATIENCE)?;
            continue;
        }
        let o = guest.run(line)?;
        eprintln!("$ {line}\n{}\n", o.output());
    }
    Ok(guest.machine.poweroff()?)
}

fn three_updates(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot(lab)?;
    for service in ["kept", "in-store", "in-session"] {
        let end = if service == "kept" {
            "all ready"
        } else {
            "ready"
        };
        let log = guest.wait_log(service, end)?;
        ensure!(!log.contains("verified"), "{service}: {log}");
    }
    for number in 1..=UPDATES {
        let kernel = guest_kernel(Series::V7_3);
        let said = guest.done(&format!("luoctl update --kernel {kernel} --reuse-cmdline"))?;
        ensure!(said.contains("systemd ends everything"), "{said}");
        guest.machine.wait_boot(BOOT_PATIENCE)?;
        for service in ["in-store", "in-session"] {
            guest.wait_log(service, &format!("verified, number {number}"))?;
            guest.wait_log(service, "ready")?;
        }
        let kept = guest.wait_log("kept", "all ready")?;
        for item in ["full-4", "sealed"] {
            let line = format!("kept: {item} verified, updated");
            ensure!(kept.contains(&line), "{kept}");
        }
        check_report(&guest, number)?;
    }
    Ok(guest.machine.poweroff()?)
}

fn check_report(guest: &SystemdGuest, number: u64) -> anyhow::Result<()> {
    let report = guest.done("luoctl --json report")?;
    let report: Value = serde_json::from_str(&report).context(report)?;
    ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
    ensure!(report["warnings"] == serde_json::json!([]), "{report:#}");
    ensure!(report["kexec_count"] == number, "{report:#}");
    let count = guest.done("systemctl show --property=KExecCount --value")?;
    ensure!(count == number.to_string(), "KExecCount {count}");
    Ok(())
}
