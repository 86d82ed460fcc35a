//! Services that refuse, say nothing or die: the update is cancelled, everybody else goes on.

use anyhow::{Context as _, ensure};
use e2e::Series;
use e2e::protocol::When;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};

const GOOD: &str = "/bin/e2e-client service --name good --item full:4 --counter";
const BAD: &str = "/bin/e2e-client service --name bad --item sealed --item sparse";

/// What the service does, and what the operator reads.
const CASES: [(&str, &str); 6] = [
    (
        "prepare:veto",
        "bad refused prepare: busy with something that cannot wait; the update is cancelled",
    ),
    (
        "freeze:veto",
        "bad refused freeze: busy with something that cannot wait; the update is cancelled",
    ),
    (
        "prepare:silent",
        "bad did not answer prepare within 2000 ms",
    ),
    ("freeze:silent", "bad did not answer freeze within 2000 ms"),
    (
        "prepare:die",
        "bad ended during prepare; the update is cancelled, its memory is still kept",
    ),
    (
        "freeze:die",
        "bad ended during freeze; the update is cancelled, its memory is still kept",
    ),
];

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("misbehaviour::every_step", every_step)]
}

fn every_step(lab: &Lab) -> anyhow::Result<()> {
    let services = [("good", When::Always, GOOD), ("bad", When::AfterKexec, BAD)];
    let host = Host::boot(lab, Series::V7_3, &services)?;
    host.wait_lines("good", "good: subscribed", 1)?;
    for (number, (at, why)) in (1..).zip(CASES) {
        one_case(&host, number, at, why).with_context(|| at)?;
    }
    between_prepare_and_jump(&host)?;

    // The other service worked all the time.
    let counters = host.told("good", "going on at")?;
    ensure!(counters.len() == CASES.len() + 1, "{counters:?}");
    ensure!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");

    start_bad(&host, CASES.len() + 1, "")?;
    host.update(Series::V7_2)?;
    host.wait_lines("bad", "verified, updated", 2)?;
    let log = host.wait_lines("good", "good: all ready", 1)?;
    ensure!(log.contains("full-4 verified, updated"), "{log}");
    let frozen = host.told("good", "frozen at")?;
    let frozen = frozen.last().context("it was never frozen")?;
    let starts = format!("counter starts at {frozen}, updated");
    ensure!(log.contains(&starts), "frozen at {frozen}:\n{log}");
    host.check_normal(2)?;
    Ok(host.machine.poweroff()?)
}

/// One kind of misbehaviour; `number` counts how often the service has been started.
fn one_case(host: &Host, number: usize, at: &str, why: &str) -> anyhow::Result<()> {
    start_bad(host, number - 1, &format!(" --at {at}"))?;
    let mut line = update_line(Series::V7_2);
    if at.ends_with("silent") {
        line.push_str(" --deadline 2");
    }
    let hint = match at.split_once(':') {
        Some((_, "silent")) => "see that service's log, or give more time with --deadline",
        Some((_, "die")) => "start it again",
        _ => "",
    };
    host.refused(&line, 10, &[why, hint])?;
    after_cancel(host, number, why)?;
    if !at.ends_with("die") {
        host.kill("bad")?;
    }
    Ok(())
}

/// Starts the service; what it kept `before` times is still there.
fn start_bad(host: &Host, before: usize, more: &str) -> anyhow::Result<()> {
    host.spawn("bad", &format!("{BAD}{more}"))?;
    host.wait_lines("bad", "bad: subscribed", before + 1)?;
    host.wait_lines("bad", "verified, kept", before * 2)?;
    Ok(())
}

/// The report says why, and the other service goes on.
fn after_cancel(host: &Host, number: usize, why: &str) -> anyhow::Result<()> {
    let report = host.json("report")?;
    let reason = report["cancelled"].as_str().unwrap_or_default();
    ensure!(reason.contains(why), "{report:#}");
    ensure!(report["to_release"].is_null(), "{report:#}");
    host.wait_lines("good", "good: cancelled, going on", number)?;
    let status = host.json("status")?;
    ensure!(status["phase"] == "normal", "{status:#}");
    ensure!(status["is_image_loaded"] == false, "{status:#}");
    Ok(())
}

/// A service that took part in PREPARE and is gone when the jump is asked for.
fn between_prepare_and_jump(host: &Host) -> anyhow::Result<()> {
    start_bad(host, CASES.len(), "")?;
    host.done(&format!("{} --prepare-only", update_line(Series::V7_2)))?;
    host.kill("bad")?;
    let why = "bad ended during freeze; the update is cancelled, its memory is still kept";
    host.refused("update --go-on", 10, &[why, "start it again"])?;
    after_cancel(host, CASES.len() + 1, why)
}
