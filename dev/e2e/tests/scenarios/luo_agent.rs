//! Clients of luo-agent's protocol beside a service of luod's own: each preserves in a session of its own.

use std::time::Duration;

use anyhow::ensure;
use e2e::Series;
use e2e::protocol::When;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};

/// Knows what the C agent's protocol has, and no more.
const OLD: &str = "/bin/e2e-client agent-vm --name old";
const NEW: &str = "/bin/e2e-client agent-vm --name new --features freeze,cancel,done,teleport";
const REFUSER: &str = "/bin/e2e-client agent-vm --name wall --features cancel --refuse no-time";
const SERVICE: &str = "/bin/e2e-client service --name s --item one-byte";
const PATIENCE: Duration = Duration::from_secs(60);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new(
        "luo_agent::clients_keep_what_only_they_know_over_two_updates",
        clients,
    )]
}

fn clients(lab: &Lab) -> anyhow::Result<()> {
    let services = [
        ("old", When::Always, OLD),
        ("new", When::Always, NEW),
        ("s", When::Always, SERVICE),
    ];
    let host = Host::boot(lab, Series::V7_2, &services)?;
    for (service, text) in [("old", "old: subscribed"), ("new", "new: subscribed")] {
        host.machine.wait_log(service, text, PATIENCE)?;
    }
    host.machine.wait_log("s", "s: subscribed", PATIENCE)?;
    let hello = r#""event":"HELLO","version":1,"server":"luod 0.1.0","features":["freeze","cancel","done"]"#;
    host.machine.wait_log("new", hello, PATIENCE)?;

    // One that refuses: the others go on; one of them is told, the other knows no such event.
    host.spawn("wall", REFUSER)?;
    host.machine
        .wait_log("wall", "wall: subscribed", PATIENCE)?;
    let parts = ["wall refused prepare", "no-time"];
    host.refused(&update_line(Series::V7_3), 10, &parts)?;
    host.machine
        .wait_log("new", "new: cancelled, with a session: true", PATIENCE)?;
    host.kill("wall")?;
    // What the old one still holds has to be closed before its name is free: its end does that.
    host.kill("old")?;
    host.spawn("old", OLD)?;
    host.machine.wait_log("old", "old: subscribed", PATIENCE)?;

    for kernel in [Series::V7_3, Series::V7_2] {
        host.update(kernel)?;
        for name in ["old", "new"] {
            let text = format!("{name}: claimed and verified");
            host.machine.wait_log(name, &text, PATIENCE)?;
            let text = format!("{name}: subscribed");
            host.machine.wait_log(name, &text, PATIENCE)?;
        }
        host.until("the update is finished", || {
            Ok(host.json("status")?["phase"] == "normal")
        })?;
        let report = host.json("report")?;
        ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
        for client in report["clients"].as_array().into_iter().flatten() {
            ensure!(client["blackout_ms"].is_f64(), "{report:#}");
        }
    }
    host.machine.wait_log("s", "s: subscribed", PATIENCE)?;
    host.check_normal(3)?;
    Ok(host.machine.poweroff()?)
}
