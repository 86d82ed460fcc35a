//! The stream of events, and everything else `luoctl --json` prints, beside its schema: during a veto, a cancel and an update.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::Series;
use e2e::protocol::When;
use serde_json::Value;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};
use crate::update::printed;

const SERVICE: &str = "/bin/e2e-client service --name s --item one-byte";
const REFUSER: &str = "/bin/e2e-client service --name no --at prepare:veto";
const PATIENCE: Duration = Duration::from_secs(60);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new(
        "events::tell_of_answers_vetoes_and_both_sides_of_a_jump",
        events,
    )]
}

/// What the operator calls an update.
const ID: &str = "fleet:wave-7.3";

fn events(lab: &Lab) -> anyhow::Result<()> {
    let services = [("s", When::Always, SERVICE)];
    let host = Host::boot(lab, Series::V7_2, &services)?;
    host.machine.wait_log("s", "s: subscribed", PATIENCE)?;
    host.spawn("watch", "/bin/luoctl events --json --follow")?;
    host.spawn("no", REFUSER)?;
    host.machine.wait_log("no", "no: subscribed", PATIENCE)?;
    host.refused(&update_line(Series::V7_3), 10, &["no refused prepare"])?;
    host.kill("no")?;
    let update = update_line(Series::V7_3);
    for (line, code) in [
        (format!("--json {update} --id two/words"), 2),
        (format!("--json {update} --prepare-only --id {ID}"), 0),
        ("--json cancel".to_owned(), 0),
        ("--json cancel".to_owned(), 8),
        ("--json finish".to_owned(), 8),
        (format!("--json check {}", &update["update ".len()..]), 0),
    ] {
        let outcome = host.luoctl(&line)?;
        ensure!(outcome.code() == Some(code), "{line}: {}", outcome.output());
        let words: Vec<_> = line.split(' ').collect();
        ensure!(!printed(&words, &outcome.stdout())?.is_empty(), "{line}");
    }

    let log = host.machine.wait_log("watch", "the operator", PATIENCE)?;
    let told = printed(&["events"], &log)?;
    in_order(
        &told,
        &[
            "attached s",
            "asked no",
            "asked s",
            "vetoed no",
            "cancelled",
            "asked s",
        ],
    )?;
    in_order(
        &told,
        &[
            "ended no",
            "requested",
            "loaded",
            "ready s",
            "prepared",
            "cancelled",
        ],
    )?;
    numbered(&told)?;
    let prepared = told.iter().find(|event| event["kind"] == "prepared");
    ensure!(
        prepared.is_some_and(|event| event["update_id"] == ID),
        "{told:#?}"
    );

    host.update(Series::V7_3)?;
    host.until("the update is finished", || {
        Ok(host.json("status")?["phase"] == "normal")
    })?;
    let id = host.json("report")?["update_id"].clone();
    let after = printed(
        &["events"],
        &host.luoctl("--json events")?.success()?.stdout(),
    )?;
    let names = [
        "kernel-started",
        "agent-started",
        "sessions-retrieved",
        "attached s",
    ];
    in_order(&after, &names)?;
    in_order(
        &after,
        &["service-running s", "service-finished s", "finished"],
    )?;
    numbered(&after)?;
    ensure!(
        after.iter().all(|event| event["update_id"] == id),
        "{after:#?}"
    );
    for line in ["history", "metrics", "sessions", "status"] {
        host.json(line)?;
    }
    let text = host.luoctl("events")?.success()?.stdout();
    ensure!(text.lines().count() == after.len(), "{text}");
    Ok(host.machine.poweroff()?)
}

/// These come one after the other, with others between: kinds, with the service.
fn in_order(events: &[Value], expected: &[&str]) -> anyhow::Result<()> {
    let mut left = events.iter();
    for wanted in expected {
        let (kind, service) = wanted.split_once(' ').unwrap_or((wanted, ""));
        let is_it = |event: &&Value| {
            event["kind"] == kind && event["service"].as_str().unwrap_or_default() == service
        };
        left.find(is_it)
            .with_context(|| format!("no {wanted:?} in its place: {events:#?}"))?;
    }
    Ok(())
}

/// None is missing.
fn numbered(events: &[Value]) -> anyhow::Result<()> {
    let numbers: Vec<_> = events
        .iter()
        .filter_map(|event| event["number"].as_u64())
        .collect();
    ensure!(
        !numbers.is_empty() && numbers.iter().copied().eq(1..=events.len() as u64),
        "{numbers:?}"
    );
    Ok(())
}
