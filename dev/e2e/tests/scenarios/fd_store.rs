//! A program written for systemd's descriptor store, without systemd: the one that the scenarios with systemd have as
//! well, under `luod run`.

use std::time::Duration;

use anyhow::ensure;
use e2e::Series;
use e2e::protocol::When;

use crate::harness::{Lab, Scenario};
use crate::host::Host;

const SERVICE: &str =
    "/bin/luod run --name store --dir /run/kept --fd-store-max 4 -- /bin/e2e-client in-store";
const PATIENCE: Duration = Duration::from_secs(60);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new(
        "fd_store::an_unmodified_service_keeps_its_memory_without_systemd",
        keeps_its_memory,
    )]
}

fn keeps_its_memory(lab: &Lab) -> anyhow::Result<()> {
    let services = [("store", When::Always, SERVICE)];
    let host = Host::boot(lab, Series::V7_2, &services)?;
    let log = host
        .machine
        .wait_log("store", "in-store: ready", PATIENCE)?;
    ensure!(!log.contains("verified"), "{log}");
    host.machine
        .wait_log("store", "the store has changed", PATIENCE)?;
    // Killed with its supervisor, it has its store again.
    host.kill("store")?;
    host.spawn("again", SERVICE)?;
    let verified = |service, number: u32| {
        let text = format!("in-store: verified, number {number}");
        host.machine.wait_log(service, &text, PATIENCE)
    };
    verified("again", 1)?;
    host.kill("again")?;
    host.spawn("store", SERVICE)?;
    verified("store", 2)?;
    for (number, kernel) in (3..).zip([Series::V7_3, Series::V7_2]) {
        host.update(kernel)?;
        verified("store", number)?;
        host.machine
            .wait_log("store", "in-store: ready", PATIENCE)?;
        let report = host.json("report")?;
        ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
    }
    host.check_normal(1)?;
    Ok(host.machine.poweroff()?)
}
