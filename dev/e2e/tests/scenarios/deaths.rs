//! Who dies in which phase, cell by cell: the table in `docs/src/reference/deaths.md`. What dies while
//! nobody is asked is in `crashes.rs`.

use std::time::Duration;

use anyhow::ensure;
use e2e::Series;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, check_refusal, update_line};

/// Keeps something, takes part, and is killed.
const VICTIM: &str = "/bin/e2e-client service --name victim --item full:4 --item sealed";
/// Its files.
const FILES: usize = 2;
const PATIENCE: Duration = Duration::from_secs(120);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("deaths::while_prepare_waits", |lab| waiting(lab, "prepare")),
        Scenario::new("deaths::while_freeze_waits", |lab| waiting(lab, "freeze")),
        Scenario::new("deaths::of_a_service_between_the_steps", between),
    ]
}

/// Starts the victim; it finds its files `end` (filled, or verified).
fn start(host: &Host, end: &str, count: usize) -> anyhow::Result<()> {
    host.spawn("victim", VICTIM)?;
    host.wait_lines("victim", end, count)?;
    Ok(())
}

/// An update that waits in a step for a service that says nothing.
fn begin(host: &Host, step: &str, time: usize) -> anyhow::Result<()> {
    host.spawn(
        "operator",
        &format!("/bin/luoctl {}", update_line(Series::V7_3)),
    )?;
    host.wait_lines("mute", "mute: silent", time)?;
    let status = host.json("status")?;
    let phase = if step == "prepare" {
        "normal"
    } else {
        "prepared"
    };
    ensure!(status["phase"] == phase, "{status:#}");
    Ok(())
}

fn check_cancelled(host: &Host, reason: &str) -> anyhow::Result<()> {
    host.until("the update is cancelled", || {
        let status = host.json("status")?;
        Ok(status["phase"] == "normal" && status["is_image_loaded"] == false)
    })?;
    let report = host.json("report")?;
    let said = report["cancelled"].as_str().unwrap_or_default();
    ensure!(said.contains(reason), "{said:?}, not {reason:?}");
    Ok(())
}

fn waiting(lab: &Lab, step: &str) -> anyhow::Result<()> {
    let host = Host::boot(lab, Series::V7_2, &[])?;
    let mute = format!("/bin/e2e-client service --name mute --at {step}:silent");
    start(&host, "filled", FILES)?;
    host.wait_lines("victim", "victim: subscribed", 1)?;
    host.spawn("mute", &mute)?;
    host.wait_lines("mute", "mute: subscribed", 1)?;

    // The holder: another one has everything, and the update waits on.
    begin(&host, step, 1)?;
    host.replace_holder()?;
    host.done("cancel")?;
    check_cancelled(&host, "cancelled")?;
    host.machine.wait("operator", PATIENCE)?;
    host.check_normal(2)?;

    // A service: the update is cancelled, its memory is kept.
    begin(&host, step, 2)?;
    host.kill("victim")?;
    check_cancelled(&host, &format!("victim ended during {step}"))?;
    host.machine.wait("operator", PATIENCE)?;
    start(&host, "verified, kept", FILES)?;
    host.wait_lines("victim", "victim: subscribed", 2)?;

    // luod: the next one cancels, and everybody who comes back finds what is kept.
    begin(&host, step, 3)?;
    host.restart_luod()?;
    check_cancelled(&host, "luod ended during the update")?;
    for ended in ["operator", "victim", "mute"] {
        host.machine.wait(ended, PATIENCE)?;
    }
    start(&host, "verified, kept", 2 * FILES)?;
    host.check_normal(1)?;

    host.update(Series::V7_3)?;
    start(&host, "verified, updated", FILES)?;
    host.check_normal(1)?;
    Ok(host.machine.poweroff()?)
}

fn between(lab: &Lab) -> anyhow::Result<()> {
    let host = Host::boot(lab, Series::V7_2, &[])?;
    start(&host, "filled", FILES)?;
    host.wait_lines("victim", "victim: subscribed", 1)?;
    let prepare = format!("{} --prepare-only", update_line(Series::V7_3));

    // Prepared: the jump is refused, as it could not be frozen.
    host.done(&prepare)?;
    host.kill("victim")?;
    let refused = host.luoctl("update --go-on")?;
    check_refusal(&refused, 10, &["victim ended during freeze"])?;
    start(&host, "verified, kept", FILES)?;
    host.wait_lines("victim", "victim: subscribed", 2)?;
    host.check_normal(1)?;

    // Updated, with its files retrieved and nothing finished: it gets the same again.
    host.update(Series::V7_3)?;
    host.spawn("victim", &format!("{VICTIM} --never-finish"))?;
    host.wait_lines("victim", "verified, updated", FILES)?;
    host.kill("victim")?;
    let status = host.json("status")?;
    ensure!(status["phase"] == "updated", "{status:#}");
    start(&host, "verified, kept", FILES)?;
    host.check_normal(1)?;
    Ok(host.machine.poweroff()?)
}
