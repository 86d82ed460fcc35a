//! Live updates on a distribution: Debian with systemd as process 1, and luod installed from its package.

mod guest;
mod many;
mod units;

use std::fs;

use anyhow::ensure;
use e2e::Series;
use guest::{PATIENCE, SystemdGuest};
use serde_json::json;
use systemd_guest::Suite;

use crate::harness::{Lab, Scenario, guest_kernel};
use crate::pstore;

/// Updates one after the other. The first one that could lose sessions is the second: what is not armed
/// again after the first jump is carried over by that one only.
const UPDATES: u64 = 3;
const SIGTERM: i32 = 15;
/// `systemd-analyze security` says of luod's unit, in tenths, at most.
const MOST_EXPOSED: u32 = 46;
/// What the package must leave nothing of.
const TRACES: [&str; 7] = [
    "/usr/sbin/luod",
    "/usr/lib/systemd/system/luod.service",
    "/usr/lib/systemd/system/luod-pstore.service",
    "/etc/systemd/system/sysinit.target.wants/luod-pstore.service",
    "/usr/lib/systemd/system-shutdown/luod.shutdown",
    "/var/lib/luod",
    "/run/luod",
];

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("systemd::three_updates_keep_all_memory", three_updates),
        Scenario::new("systemd::every_boot_has_the_log_of_the_one_before", logs),
        Scenario::new("systemd::what_would_lose_memory_is_refused", refusals),
        Scenario::new("systemd::many_sessions_and_500_files_in_one", many::many),
        Scenario::new("systemd::an_older_one_that_loses_stores_is_refused", older),
        Scenario::new(
            "systemd::jumps_that_somebody_else_starts_keep_all_memory",
            jumps_of_others,
        ),
    ]
}

/// The words of an update.
fn update_line() -> String {
    let kernel = guest_kernel(Series::V7_3);
    format!("luoctl update --kernel {kernel} --reuse-cmdline")
}

/// systemd-pstore removes what pstore has and keeps one file of a name; collected before that, each boot's is there.
fn logs(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot_with(lab, &pstore::recipe()?)?;
    guest.wait_log("kept", "kept: subscribed")?;
    for _update in 0..UPDATES {
        guest.jump(&update_line())?;
        guest.until(
            "systemd-pstore has run",
            "systemctl show --property=Result,ExecMainExitTimestampMonotonic systemd-pstore.service",
            "Result=success",
        )?;
        guest.wait_log("kept", "verified, updated")?;
    }
    let left = guest.done("ls /var/lib/systemd/pstore")?;
    let theirs = left.matches("dmesg-ramoops-").count();
    ensure!(theirs == 1, "systemd-pstore keeps {theirs}: {left}");
    let list = guest.json("pstore list")?;
    let boots = list["boots"].as_array().map_or(&[][..], |boots| boots);
    let kept = boots
        .iter()
        .filter(|boot| boot["shutdown"]["state"] == "kept");
    let lines = kept.filter_map(|boot| boot["shutdown"]["last_line"].as_str());
    let ends = lines.filter(|line| line.ends_with("Starting new kernel"));
    ensure!(u64::try_from(ends.count())? == UPDATES, "{list:#}");
    // What luod and its hook said is in there, after everything had ended.
    let shown = guest.done("luoctl pstore show")?;
    for words in ["luod: update ", "luod: the next kernel is loaded"] {
        ensure!(shown.contains(words), "{shown}");
    }
    Ok(guest.machine.poweroff()?)
}

fn three_updates(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot(lab)?;
    for service in ["kept", "in-store", "in-session"] {
        let log = guest.wait_log(service, "ready")?;
        ensure!(!log.contains("verified"), "{service}: {log}");
    }
    check_sandbox(&guest)?;
    guest.done("test -s /usr/share/man/man8/luod.8.gz")?;
    guest.done("test -s /usr/share/bash-completion/completions/luoctl")?;
    for number in 1..=UPDATES {
        if let Some(said) = guest.jump(&update_line())? {
            ensure!(said.contains("systemd ends everything"), "{said}");
        }
        check_others(&guest, number)?;
        check_kept(&guest, "updated")?;
        let report = guest.json("report")?;
        ensure!(report["lost"] == json!([]), "{report:#}");
        ensure!(report["warnings"] == json!([]), "{report:#}");
        ensure!(report["kexec_count"] == number, "{report:#}");
    }
    // Nobody uses it any more; what it has for others would keep it from leaving nothing.
    guest.done("systemctl disable --now kept.service")?;
    guest.done("dpkg --purge luod")?;
    for trace in TRACES {
        guest.refused(&format!("test -e {trace}"), 1, &[])?;
    }
    let left = guest.run("systemctl status luod.service")?;
    ensure!(left.code() == Some(4), "{}", left.output());
    Ok(guest.machine.poweroff()?)
}

/// The unit's settings are in force, on a kernel that has what they need.
fn check_sandbox(guest: &SystemdGuest) -> anyhow::Result<()> {
    let pid = guest.done("systemctl show --property=MainPID --value luod.service")?;
    let status = guest.done(&format!("cat /proc/{pid}/status"))?;
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        ensure!(status.lines().any(|is| is == line), "no {line:?}: {status}");
    }
    guest.refused(&format!("test -w /proc/{pid}/root/usr"), 1, &[])?;
    let threshold = format!("--threshold={MOST_EXPOSED}");
    guest.done(&format!(
        "systemd-analyze security --no-pager {threshold} luod.service"
    ))?;
    Ok(())
}

/// Every refusal comes before anything was ended, and services go on.
fn refusals(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot(lab)?;
    guest.wait_log("kept", "kept: subscribed")?;
    let lock = [
        "--what=shutdown",
        "--mode=block",
        "--who=backup",
        "--why=copying",
    ];
    let lock = ["/usr/bin/systemd-inhibit"].iter().chain(&lock);
    let words = lock.chain(&["sleep", "infinity"]).copied();
    guest.machine.spawn("lock", words)?;
    guest.until("a lock", "systemd-inhibit --list", "backup")?;
    guest.refused(&update_line(), 10, &["backup", "copying"])?;
    check_normal(&guest)?;
    guest.machine.signal("lock", SIGTERM)?;

    guest
        .machine
        .spawn("holder", ["/usr/bin/e2e-client", "hold-device"])?;
    guest.machine.wait_log("holder", "holding", PATIENCE)?;
    guest.refused(&update_line(), 6, &["e2e-client"])?;
    check_normal(&guest)?;

    // Opened between PREPARE and the jump, it would cost every unit its store.
    guest.machine.signal("holder", SIGTERM)?;
    guest.machine.wait("holder", PATIENCE)?;
    guest.done(&format!("{} --prepare-only", update_line()))?;
    guest
        .machine
        .spawn("holder", ["/usr/bin/e2e-client", "hold-device"])?;
    guest.machine.wait_log("holder", "holding", PATIENCE)?;
    guest.refused("luoctl update --go-on", 6, &["e2e-client"])?;
    check_normal(&guest)?;
    guest.machine.signal("holder", SIGTERM)?;
    guest.machine.wait("holder", PATIENCE)?;

    // luod is killed and started again by systemd: everything is still there.
    guest.done("systemctl kill --signal=KILL luod.service")?;
    guest.until("luod", "luoctl sessions", "full-4")?;
    guest.done("systemctl restart kept.service")?;
    guest.wait_log("kept", "kept: full-4 verified, kept")?;
    check_lost_stores(lab, &guest)?;
    Ok(guest.machine.poweroff()?)
}

/// Debian trixie's systemd 257 keeps stores over restarts and not over a kexec: updates are refused, restarts lose nothing.
fn older(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot_suite(lab, Suite::Trixie, "")?;
    guest.wait_log("kept", "kept: subscribed")?;
    guest.refused(&update_line(), 5, &["systemd 257 loses", "systemd 261"])?;
    check_normal(&guest)?;
    // With it goes the service, which needs it. The log has the lines of the one before as well.
    guest.done("systemctl restart luod.service")?;
    for item in ["full-4", "sealed"] {
        guest.wait_log("kept", &format!("kept: {item} verified, kept"))?;
    }
    check_normal(&guest)?;
    Ok(guest.machine.poweroff()?)
}

/// The device is taken when luod cannot refuse any more: systemd loses every store, which is told, and
/// luod's own services lose nothing.
fn check_lost_stores(lab: &Lab, guest: &SystemdGuest) -> anyhow::Result<()> {
    guest.done("systemctl start intruder.service signpost.service")?;
    guest.wait_log("kept", "kept: subscribed")?;
    guest.jump(&update_line())?;
    check_kept(guest, "updated")?;
    let console = fs::read_to_string(lab.folder().join("serial.log"))?;
    let told = "systemd cannot hand over what units have in its stores: /dev/liveupdate is kept open by e2e-client";
    ensure!(console.contains(told), "no {told:?}");
    let report = guest.json("report")?;
    ensure!(report["lost"] == json!([]), "{report:#}");
    let warning = report["warnings"][0].as_str().unwrap_or_default();
    ensure!(
        warning.contains("KExecCount is 0 instead of 1"),
        "{report:#}"
    );
    Ok(())
}

/// `systemctl kexec` by hand: with an update prepared, then without luod knowing anything.
fn jumps_of_others(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot(lab)?;
    guest.wait_log("kept", "kept: subscribed")?;
    // The image is unloaded while everything ends: without the hook, that would be a cold reboot.
    guest.done("systemctl start unloader.service")?;
    guest.done("systemctl disable kept.service")?;
    guest.done(&format!("{} --prepare-only", update_line()))?;
    guest.jump("systemctl kexec")?;
    check_others(&guest, 1)?;
    // Not finished: another jump would lose it.
    guest.until("the lock", "systemd-inhibit --list", "luod")?;
    guest.done(&format!("e2e-client load {}", guest_kernel(Series::V7_3)))?;
    guest.refused("systemctl kexec", 1, &["block inhibitor"])?;
    let locks = guest.done("systemd-inhibit --list --no-legend")?;
    ensure!(locks.contains("what kept has not taken back"), "{locks}");
    guest.done("systemctl enable --now kept.service")?;
    check_kept(&guest, "updated")?;

    guest.gone("the lock", "systemd-inhibit --list", "luod")?;
    guest.jump("systemctl kexec")?;
    check_others(&guest, 2)?;
    check_kept(&guest, "kept")?;
    check_normal(&guest)?;
    Ok(guest.machine.poweroff()?)
}

/// The services that luod has nothing to do with have come over `number` jumps.
fn check_others(guest: &SystemdGuest, number: u64) -> anyhow::Result<()> {
    for service in ["in-store", "in-session"] {
        guest.wait_log(service, &format!("verified, number {number}"))?;
        guest.wait_log(service, "ready")?;
    }
    let count = guest.done("systemctl show --property=KExecCount --value")?;
    ensure!(count == number.to_string(), "KExecCount {count}");
    Ok(())
}

/// Both files of luod's client have come over.
fn check_kept(guest: &SystemdGuest, how: &str) -> anyhow::Result<()> {
    let log = guest.wait_log("kept", "kept: subscribed")?;
    for item in ["full-4", "sealed"] {
        let line = format!("kept: {item} verified, {how}");
        ensure!(log.contains(&line), "no {line:?}: {log}");
    }
    Ok(())
}

/// Nothing is under way, and the client is there.
fn check_normal(guest: &SystemdGuest) -> anyhow::Result<()> {
    let status = guest.json("status")?;
    ensure!(status["phase"] == "normal", "{status:#}");
    ensure!(status["is_image_loaded"] == false, "{status:#}");
    ensure!(status["connected"] == 1, "{status:#}");
    ensure!(status["items"] == 2, "{status:#}");
    Ok(())
}
