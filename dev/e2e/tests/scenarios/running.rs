//! The handover of the running kernel, read by `luoctl inspect` while it is being made.

use anyhow::{Context as _, ensure};
use e2e::Series;
use e2e::protocol::When;
use serde_json::Value;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};

const SERVICE: &str = "/bin/e2e-client service --name p --item full:64";
const KEPT_BYTES: u64 = 64 << 20;

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let name = "running::what_is_preserved_is_seen_while_the_kernel_runs";
    vec![Scenario::new(name, seen_while_it_runs)]
}

fn seen_while_it_runs(lab: &Lab) -> anyhow::Result<()> {
    let (old, new) = (lab.kernel(Series::V7_2)?, lab.kernel(Series::V7_3)?);
    let host = Host::boot(lab, Series::V7_2, &[("p", When::Always, SERVICE)])?;
    host.wait_lines("p", "p: all ready", 1)?;
    let before = handover(&host, &old.release, 1)?;

    host.done(&format!("{} --prepare-only", update_line(Series::V7_3)))?;
    let prepared = handover(&host, &old.release, 1)?;
    let added = preserved(&prepared)?.checked_sub(preserved(&before)?);
    let added = added.context("less is preserved than before")?;
    // The journal and the tables are a few pages.
    ensure!(
        (KEPT_BYTES..KEPT_BYTES + (1 << 20)).contains(&added),
        "{added} bytes more: {prepared:#}"
    );
    let device = host.json("inspect /dev/mem")?;
    for part in ["root", "subtrees", "totals", "extents"] {
        let (kcore, device) = (&prepared[part], &device[part]);
        ensure!(kcore == device, "{part}: {kcore:#}, by /dev/mem {device:#}");
    }

    host.done("cancel")?;
    let cancelled = handover(&host, &old.release, 1)?;
    let left = preserved(&cancelled)?;
    ensure!(left == preserved(&before)?, "{left} bytes: {cancelled:#}");

    host.update(Series::V7_3)?;
    host.wait_lines("p", "p: all ready", 1)?;
    handover(&host, &new.release, 2)?;
    Ok(host.machine.poweroff()?)
}

/// What the kernel that runs would hand over now.
fn handover(host: &Host, release: &str, kexec_count: u64) -> anyhow::Result<Value> {
    let view = host.json("inspect")?;
    let said = &view["metadata"];
    ensure!(said["kexec_count"] == kexec_count, "{view:#}");
    ensure!(said["release"] == release, "{view:#}");
    ensure!(view["problems"] == serde_json::json!([]), "{view:#}");
    let scratch = view["scratch"].as_array().context("scratch")?;
    ensure!(!scratch.is_empty(), "{view:#}");
    Ok(view)
}

fn preserved(view: &Value) -> anyhow::Result<u64> {
    let bytes = view["totals"]["preserved_bytes"].as_u64();
    bytes.with_context(|| format!("no total: {view:#}"))
}
