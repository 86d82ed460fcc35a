//! Programs written in C, with the client library for C: the examples as they stand.

use std::time::Duration;

use anyhow::ensure;
use e2e::protocol::When;
use e2e::{Initramfs, Series, artifacts};

use crate::harness::{Lab, Scenario, guest_kernel};
use crate::host::{Host, update_line};
use crate::update::start;

const COUNTER: &str = "/bin/c-counter counter";
const PATIENCE: Duration = Duration::from_secs(60);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "c_client::counts_on_over_two_updates_and_refuses_one",
            counts_on,
        ),
        Scenario::new("c_client::direct_keeps_memory_over_two_jumps", direct),
    ]
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

/// Without luod: the program alone preserves, and somebody else jumps.
fn direct(lab: &Lab) -> anyhow::Result<()> {
    let mut image = lab.image_with_client()?;
    image.program(&artifacts::guest_program("c-direct")?)?;
    image.autostart(&[start("direct", "/bin/c-direct kernels")])?;
    let kernel = lab.kernel(Series::V7_2)?;
    let machine = lab.machine(&kernel, image)?.memory_mib(2048).boot()?;
    let mut expected = "new, kernel number 1".to_owned();
    for next in [Some(Series::V7_3), Some(Series::V7_2), None] {
        let log = machine.wait_log("direct", "preserved", PATIENCE)?;
        ensure!(log.contains(&expected), "not {expected:?}:\n{log}");
        let Some(next) = next else {
            break;
        };
        let number = number(&log, "kernel number ").unwrap_or_default() + 1;
        expected = format!("updated, kernel number {number}");
        let kernel = guest_kernel(next);
        let jump = ["/bin/e2e-client", "bare-kexec", "--kernel", &kernel];
        machine.jump(jump, PATIENCE)?;
    }
    Ok(machine.poweroff()?)
}

/// The number behind the last `words`.
fn number(log: &str, words: &str) -> Option<u64> {
    let (_, rest) = log.rsplit_once(words)?;
    rest.lines().next()?.parse().ok()
}
