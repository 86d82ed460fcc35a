//! An update that not everybody has finished: the next one waits, nothing is given up unasked.

use std::time::Duration;

use anyhow::ensure;
use e2e::Series;
use e2e::protocol::When;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, check_refusal, update_line};

const PATIENCE: Duration = Duration::from_secs(60);
/// Retrieves everything and does not finish.
const SLOW: &str = "/bin/e2e-client service --name slow --item sealed --never-finish";
/// Does not come back by itself.
const AWAY: &str = "/bin/e2e-client service --name away --item full:4 --item position";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("unfinished::next_update_waits", wait)]
}

fn wait(lab: &Lab) -> anyhow::Result<()> {
    let services = [
        ("slow", When::Always, SLOW),
        ("away", When::FirstBoot, AWAY),
    ];
    let host = Host::boot(lab, Series::V7_3, &services)?;
    host.wait_lines("slow", "slow: subscribed", 1)?;
    host.wait_lines("away", "away: subscribed", 1)?;

    host.update(Series::V7_2)?;
    refused_until_finished(&host)?;
    // The owner comes late and still gets everything.
    host.spawn("away", AWAY)?;
    host.wait_lines("away", "verified, updated", 2)?;
    host.wait_lines("away", "away: subscribed", 1)?;
    host.done("finish slow")?;
    host.check_normal(2)?;
    let refused = host.luoctl("finish")?;
    check_refusal(&refused, 8, &["no session waits to be finished"])?;

    host.update(Series::V7_3)?;
    refused_until_finished(&host)?;
    host.done("finish --discard")?;
    let report = host.luoctl("--json report")?.success()?.stdout();
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let lost = report["lost"].as_array().map_or(0, Vec::len);
    ensure!(lost == 2, "{report:#}");
    for (index, item) in ["full-4", "position"].into_iter().enumerate() {
        let lost = &report["lost"][index];
        ensure!(lost["service"] == "away", "{report:#}");
        ensure!(lost["item"] == item, "{report:#}");
        ensure!(lost["reason"] == "discarded as asked", "{report:#}");
    }
    // Whom it was discarded for begins anew, and knows it.
    host.spawn("away", AWAY)?;
    let log = host
        .machine
        .wait_log("away", "away: subscribed", PATIENCE)?;
    ensure!(log.contains("full-4 filled"), "{log}");
    host.check_normal(2)?;

    host.update(Series::V7_2)?;
    host.wait_lines("slow", "verified, updated", 1)?;
    host.spawn("away", AWAY)?;
    host.wait_lines("away", "verified, updated", 2)?;
    Ok(host.machine.poweroff()?)
}

/// After a jump, with one service that does not finish and one that is not there.
fn refused_until_finished(host: &Host) -> anyhow::Result<()> {
    host.wait_lines("slow", "verified, updated", 1)?;
    host.wait_lines("slow", "slow: subscribed", 1)?;
    let status = host.json("status")?;
    ensure!(status["phase"] == "updated", "{status:#}");
    let parts = [
        "the last update is unfinished",
        "slow",
        "away",
        "start these services and let them finish, or give it up with `luoctl finish --discard`",
    ];
    host.refused(&update_line(Series::V7_3), 9, &parts)?;
    let parts = [
        "\"away\" has not retrieved full-4, position: finishing would lose it",
        "start the service and let it retrieve that, or give it up with `luoctl finish --discard`",
    ];
    host.refused("finish away", 15, &parts)?;
    host.refused("finish", 15, &parts)?;
    let report = host.json("report")?;
    ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
    Ok(())
}
