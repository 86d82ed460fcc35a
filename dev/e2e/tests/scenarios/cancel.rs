//! PREPARE then CANCEL: what is fixed while the host is prepared, and free again afterwards.

use anyhow::{Context as _, ensure};
use e2e::protocol::When;
use e2e::{Command, Series};

use crate::harness::{Lab, Scenario};
use crate::host::{Host, check_refusal, update_line};

const SERVICE: &str =
    "/bin/e2e-client service --name p --item full:4 --item position --counter --probe-resize";
const WORKS: &str = "p: resize works";
const REFUSED: &str = "p: resize refused, errno Some(1)";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("cancel::prepared", prepared)]
}

fn prepared(lab: &Lab) -> anyhow::Result<()> {
    let host = Host::boot(lab, Series::V7_2, &[("p", When::Always, SERVICE)])?;
    host.wait_lines("p", "p: subscribed", 1)?;
    host.wait_lines("p", WORKS, 1)?;
    let nothing = "no update is under way";
    host.refused("cancel", 8, &[nothing])?;
    host.refused("update --go-on", 8, &[nothing])?;

    host.done(&format!("{} --prepare-only", update_line(Series::V7_3)))?;
    while_prepared(&host)?;

    host.done("cancel --reason not-today")?;
    host.wait_lines("p", WORKS, 2)?;
    host.check_normal(1)?;
    ensure!(!is_image_loaded(&host)?, "the next kernel stayed loaded");
    let report = host.json("report")?;
    ensure!(report["cancelled"] == "not-today", "{report:#}");
    ensure!(report["to_release"].is_null(), "{report:#}");
    host.refused("cancel", 8, &[nothing])?;

    host.update(Series::V7_3)?;
    let log = host.wait_lines("p", "p: all ready", 1)?;
    let verified = log
        .lines()
        .filter(|line| line.ends_with("verified, updated"));
    ensure!(verified.count() == 2, "{log}");
    // Not one step more or less than when it said that it stands still.
    let frozen = host.told("p", "frozen at")?;
    let [frozen] = frozen.as_slice() else {
        anyhow::bail!("frozen {} times", frozen.len());
    };
    let starts = format!("p: counter starts at {frozen}, updated");
    ensure!(log.contains(&starts), "frozen at {frozen}:\n{log}");
    // Its session is finished, so its size may change again.
    host.wait_lines("p", WORKS, 1)?;
    let report = host.json("report")?;
    ensure!(report["cancelled"].is_null(), "{report:#}");
    Ok(host.machine.poweroff()?)
}

fn while_prepared(host: &Host) -> anyhow::Result<()> {
    host.wait_lines("p", REFUSED, 1)?;
    let status = host.json("status")?;
    ensure!(status["phase"] == "prepared", "{status:#}");
    ensure!(status["is_image_loaded"] == true, "{status:#}");
    ensure!(is_image_loaded(host)?, "no kernel is loaded");
    let what_to_do = "jump with `luoctl update --go-on`, or undo it with `luoctl cancel`";
    let parts = ["while the host is prepared", what_to_do];
    host.refused(&update_line(Series::V7_3), 8, &parts)?;
    let new = Command::new(["/bin/e2e-client", "service", "--name", "new"]);
    let parts = ["the host is prepared", what_to_do];
    check_refusal(&host.machine.run(new)?, 1, &parts)?;
    // The refusals changed nothing.
    let status = host.json("status")?;
    ensure!(status["phase"] == "prepared", "{status:#}");
    ensure!(status["services"] == 1, "{status:#}");
    ensure!(is_image_loaded(host)?, "the refused update unloaded it");
    Ok(())
}

/// What the kernel itself says.
fn is_image_loaded(host: &Host) -> anyhow::Result<bool> {
    let paths = ["/sys/kernel/kexec/loaded", "/sys/kernel/kexec_loaded"];
    let read = |path| host.machine.read_file(path).ok();
    let value = paths.into_iter().find_map(read).context("no kexec")?;
    Ok(value.trim_ascii() == b"1")
}
