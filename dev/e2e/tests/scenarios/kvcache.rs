//! A real service: its data over its own restart, luod's restart, and a live update.

use std::time::Duration;

use anyhow::ensure;
use e2e::{Command, Machine, Series};

use crate::harness::{Lab, Scenario};
use crate::update::{luoctl, machine, update};

const LUOD: &str = "/bin/luod";
const KVCACHE: &str = "/bin/kvcache --service cache --unix /run/kv.sock --memory 64M";
const KEYS: &str = "20000";
const PATIENCE: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let name = "kvcache::keeps_its_data_over_restarts_and_an_update";
    vec![Scenario::new(name, keeps_its_data)]
}

fn keeps_its_data(lab: &Lab) -> anyhow::Result<()> {
    let machine = machine(
        lab,
        Series::V7_2,
        &["kvcache", "kvcache-load"],
        &[("kvcache", KVCACHE)],
    )?;
    machine.wait_log("kvcache", "arena new", PATIENCE)?;
    load(&machine, "fill")?;

    machine.signal("kvcache", SIGKILL)?;
    machine.wait("kvcache", PATIENCE)?;
    machine.spawn("kvcache-2", Command::new(KVCACHE.split(' ')))?;
    machine.wait_log("kvcache-2", "arena kept over a restart", PATIENCE)?;
    load(&machine, "verify")?;

    machine.signal("luod", SIGKILL)?;
    machine.wait("luod", PATIENCE)?;
    machine.spawn("luod-2", [LUOD])?;
    machine.wait_log("luod-2", "luod serves", PATIENCE)?;
    // It takes part again: an update waits for its answer.
    machine.wait_log("luod-2", "service attached service=cache", PATIENCE)?;
    load(&machine, "verify")?;

    update(&machine, lab.platform(), Series::V7_3)?;
    machine.wait_log("kvcache", "arena kept over a live update", PATIENCE)?;
    load(&machine, "verify")?;
    let status = luoctl(&machine, &["status"])?;
    ensure!(status["phase"] == "normal", "{status}");
    let report = luoctl(&machine, &["report"])?;
    ensure!(report["clients"][0]["blackout_ms"].is_f64(), "{report}");
    Ok(machine.poweroff()?)
}

/// `kvcache-load fill` or `verify`: every byte of every key.
fn load(machine: &Machine, what: &str) -> anyhow::Result<()> {
    let argv = [
        "/bin/kvcache-load",
        what,
        "--keys",
        KEYS,
        "--value-bytes",
        "200",
        "--seed",
        "7",
        "--connect",
        "/run/kv.sock",
    ];
    machine.run(argv)?.success()?;
    Ok(())
}
