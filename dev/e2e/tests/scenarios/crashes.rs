//! luod, its holder and services killed at every point: what is kept stays kept.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::Series;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};

/// Started by the scenario: it ends with luod.
const SERVICE: &str = "/bin/e2e-client service --name c --item full:8 --item sealed --item sparse";
/// Its items.
const ITEMS: usize = 3;
/// Longest wait for a log line or a jump, in emulation on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);
const ENDED: &str = "luod ended during the update";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("crashes::every_phase", every_phase)]
}

/// The service, with how often it has found its items kept.
struct Service<'a> {
    host: &'a Host,
    starts: usize,
    kept: usize,
}

impl Service<'_> {
    /// Starts it; it finds everything kept, without an update.
    fn start_again(&mut self) -> anyhow::Result<()> {
        self.kept += 1;
        self.start("verified, kept", self.kept * ITEMS, "")
    }

    fn start(&mut self, end: &str, count: usize, more: &str) -> anyhow::Result<()> {
        self.starts += 1;
        self.host.spawn("c", &format!("{SERVICE}{more}"))?;
        self.host.wait_lines("c", "c: subscribed", self.starts)?;
        self.host.wait_lines("c", end, count)?;
        Ok(())
    }
}

fn every_phase(lab: &Lab) -> anyhow::Result<()> {
    let host = Host::boot(lab, Series::V7_2, &[])?;
    let mut service = Service {
        host: &host,
        starts: 0,
        kept: 0,
    };
    start_beside_a_stranger(&host)?;
    service.start("filled", ITEMS, "")?;
    while_normal(&host, &mut service)?;
    while_waiting_for_a_service(&host, &mut service)?;
    while_prepared(&host, &mut service)?;

    // The holder dies just before the jump.
    host.done(&format!("{} --prepare-only", update_line(Series::V7_3)))?;
    host.replace_holder()?;
    let jumped = host
        .machine
        .jump(["/bin/luoctl", "update", "--go-on"], PATIENCE)?;
    ensure!(jumped.release.starts_with("7.3"), "{jumped:?}");
    host.wait_luod()?;
    while_updated(&host)?;
    Ok(host.machine.poweroff()?)
}

/// luod starts while another program keeps the device open: it names it, waits, and then works.
/// Were it to go on without, everything that came over would stay in the kernel unseen.
fn start_beside_a_stranger(host: &Host) -> anyhow::Result<()> {
    let holder = host.json("status")?["holder_pid"].as_u64();
    host.kill("luod")?;
    // With the holder gone as well, luod asks the kernel again.
    let holder = u32::try_from(holder.context("no holder")?)?;
    host.machine.signal_pid(holder, 9)?;
    let pid = host.spawn("stranger", "/bin/e2e-client hold-device")?;
    host.machine.wait_log("stranger", "holding", PATIENCE)?;
    host.spawn("luod", "/bin/luod")?;
    let named = format!("kept open by e2e-client (pid {pid})");
    host.machine.wait_log("luod", &named, PATIENCE)?;
    host.kill("stranger")?;
    host.wait_luod()
}

fn while_normal(host: &Host, service: &mut Service<'_>) -> anyhow::Result<()> {
    host.kill("c")?;
    service.start_again()?;
    end_luod(host)?;
    service.start_again()?;
    host.replace_holder()?;
    end_luod(host)?;
    service.start_again()?;
    host.check_normal(1)
}

/// luod dies in the middle of PREPARE.
fn while_waiting_for_a_service(host: &Host, service: &mut Service<'_>) -> anyhow::Result<()> {
    host.spawn(
        "mute",
        "/bin/e2e-client service --name mute --at prepare:silent",
    )?;
    host.wait_lines("mute", "mute: subscribed", 1)?;
    host.spawn(
        "operator",
        &format!("/bin/luoctl {}", update_line(Series::V7_3)),
    )?;
    host.wait_lines("mute", "mute: silent", 1)?;
    end_luod(host)?;
    check_cancelled(host)?;
    service.start_again()?;
    host.check_normal(1)
}

fn while_prepared(host: &Host, service: &mut Service<'_>) -> anyhow::Result<()> {
    let prepare = format!("{} --prepare-only", update_line(Series::V7_3));
    host.done(&prepare)?;
    end_luod(host)?;
    check_cancelled(host)?;
    service.start_again()?;
    host.done(&prepare)?;
    host.replace_holder()?;
    let status = host.json("status")?;
    ensure!(status["phase"] == "prepared", "{status:#}");
    end_luod(host)?;
    check_cancelled(host)?;
    service.start_again()?;
    host.check_normal(1)
}

/// After the jump: before the service is back, while it has its items, and after it has finished.
fn while_updated(host: &Host) -> anyhow::Result<()> {
    let check_waiting = || {
        let status = host.json("status")?;
        ensure!(status["phase"] == "updated", "{status:#}");
        ensure!(
            status["unfinished"] == serde_json::json!(["c"]),
            "{status:#}"
        );
        let report = host.json("report")?;
        ensure!(report["cancelled"].is_null(), "{report:#}");
        ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
        anyhow::Ok(())
    };
    check_waiting()?;
    host.restart_luod()?;
    check_waiting()?;
    host.replace_holder()?;
    host.restart_luod()?;
    check_waiting()?;
    let mut service = Service {
        host,
        starts: 0,
        kept: 0,
    };
    service.start("verified, updated", ITEMS, " --never-finish")?;
    end_luod(host)?;
    check_waiting()?;
    service.start_again()?;
    host.check_normal(1)?;
    host.replace_holder()?;
    end_luod(host)?;
    service.start_again()?;
    host.check_normal(1)
}

/// Kills luod and starts it again; the service ends with it.
fn end_luod(host: &Host) -> anyhow::Result<()> {
    host.restart_luod()?;
    let ended = host.machine.wait("c", PATIENCE)?;
    ensure!(ended == e2e::protocol::Exit::Code(0), "{ended:?}");
    Ok(())
}

fn check_cancelled(host: &Host) -> anyhow::Result<()> {
    let status = host.json("status")?;
    ensure!(status["phase"] == "normal", "{status:#}");
    ensure!(status["is_image_loaded"] == false, "{status:#}");
    let report = host.json("report")?;
    ensure!(report["cancelled"] == ENDED, "{report:#}");
    Ok(())
}
