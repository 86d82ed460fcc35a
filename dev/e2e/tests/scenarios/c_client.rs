//! A service written in C, with the client library for C: the example as it stands.

use std::time::Duration;

use anyhow::ensure;
use e2e::protocol::When;
use e2e::{Initramfs, Series, artifacts};

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};

const COUNTER: &str = "/bin/c-counter counter";
const PATIENCE: Duration = Duration::from_secs(60);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new(
        "c_client::counts_on_over_two_updates_and_refuses_one",
        counts_on,
    )]
}

fn counts_on(lab: &Lab) -> anyhow::Result<()> {
    let services = [("counter", When::Always, COUNTER)];
    let add = |image: &mut Initramfs| Ok(image.program(&artifacts::guest_program("c-counter")?)?);
    let host = Host::boot_adding_services(lab, Series::V7_2, &services, add)?;
    host.machine.wait_log("counter", "serves", PATIENCE)?;

    // A second one, that refuses: the first hears of it and goes on.
    host.machine.spawn(
        "refuses",
        ["/bin/c-counter", "refuses", "the cellar is wet"],
    )?;
    host.machine.wait_log("refuses", "serves", PATIENCE)?;
    let parts = ["refuses refused prepare", "the cellar is wet"];
    host.refused(&update_line(Series::V7_3), 10, &parts)?;
    host.wait_lines("counter", "cancel", 1)?;
    host.kill("refuses")?;

    for kernel in [Series::V7_3, Series::V7_2] {
        let before = host.told("counter", "freeze at")?.len();
        host.update(kernel)?;
        let log = host.machine.wait_log("counter", "serves", PATIENCE)?;
        // What it said as it stopped, the host has; what it found afterwards is in its log.
        let frozen = host.told("counter", "freeze at")?;
        ensure!(frozen.len() == before + 1, "{frozen:?}");
        ensure!(frozen.last().is_some_and(|value| *value > 0), "{frozen:?}");
        ensure!(
            number(&log, "updated at ") == frozen.last().copied(),
            "{frozen:?}:\n{log}"
        );
        let report = host.json("report")?;
        ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
        ensure!(report["clients"][0]["blackout_ms"].is_f64(), "{report:#}");
        if kernel == Series::V7_3 {
            // Nobody starts the other one again.
            host.done("finish refuses --discard")?;
        }
    }
    Ok(host.machine.poweroff()?)
}

/// The number behind the last `words`.
fn number(log: &str, words: &str) -> Option<u64> {
    let (_, rest) = log.rsplit_once(words)?;
    rest.lines().next()?.parse().ok()
}
