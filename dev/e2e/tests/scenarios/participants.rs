//! A program of the drop-in folder: its payload crosses the jump, and its veto cancels the update.

use anyhow::ensure;
use e2e::Series;
use e2e::artifacts;
use initrd::Permissions;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};

/// Where luod looks for it.
const PROGRAM: &str = "/etc/luod/programs.d/10-e2e";
const LOG: &str = "/tmp/participant.log";
const VETO: &str = "/tmp/participant.veto";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let name = "participants::a_payload_crosses_the_jump_and_a_veto_cancels";
    vec![Scenario::new(name, payload_and_veto)]
}

fn payload_and_veto(lab: &Lab) -> anyhow::Result<()> {
    let client = artifacts::guest_program("e2e-client")?;
    let host = Host::boot_adding(lab, Series::V7_2, |image| {
        Ok(image.file(&client, PROGRAM, Permissions::PROGRAM)?)
    })?;
    let (old, new) = (lab.kernel(Series::V7_2)?, lab.kernel(Series::V7_3)?);

    host.machine.write_file(VETO, 0o600, b"yes")?;
    let line = update_line(Series::V7_3);
    let words = ["the program 10-e2e refused prepare", "told to refuse"];
    host.refused(&line, 10, &words)?;
    host.until("it is told of the cancel", || {
        Ok(told(&host)? == "prepare \ncancel \n")
    })?;
    let status = host.json("status")?;
    ensure!(status["phase"] == "normal", "{status:#}");
    ensure!(status["is_image_loaded"] == false, "{status:#}");
    host.machine.write_file(VETO, 0o600, b"")?;

    host.update(Series::V7_3)?;
    let payload = format!("{} frozen", old.release);
    let expected = format!("boot {payload}\nfinish {payload}\n");
    host.until("it is started in the next kernel", || {
        Ok(told(&host)? == expected)
    })?;
    let report = host.json("report")?;
    ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
    ensure!(report["to_release"] == new.release, "{report:#}");
    Ok(host.machine.poweroff()?)
}

/// What it has written down on this boot.
fn told(host: &Host) -> anyhow::Result<String> {
    let text = host.machine.read_file(LOG).unwrap_or_default();
    Ok(String::from_utf8(text)?)
}
