//! A block without sessions at the end of the kernel's chain, of which the next kernel would panic.

use std::time::Duration;

use anyhow::ensure;
use e2e::Series;
use e2e::protocol::When;

use crate::harness::{Lab, Scenario};
use crate::host::{Host, update_line};

/// With luod's own session as many as fill a block (`kernel/liveupdate/luo_session.c`, v7.2 and v7.3).
const SERVICES: usize = 50;
const PATIENCE: Duration = Duration::from_secs(120);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let name = "blocks::empty_one_at_the_end_is_no_danger";
    vec![Scenario::new(name, empty_block)]
}

fn empty_block(lab: &Lab) -> anyhow::Result<()> {
    let command =
        format!("/bin/e2e-client service --name s --count {SERVICES} --item one-byte --quiet");
    let host = Host::boot(lab, Series::V7_3, &[("s", When::Always, &command)])?;
    host.machine.wait_log("s", "s: all ready", PATIENCE)?;
    host.done(&format!("{} --prepare-only", update_line(Series::V7_2)))?;
    host.spawn("twin", "/bin/e2e-client duplicate-session luod:s-0")?;
    host.machine
        .wait_log("twin", "of this name exists", PATIENCE)?;
    host.machine
        .jump(["/bin/luoctl", "update", "--go-on"], PATIENCE)?;
    let log = host.machine.wait_log("s", "s: all ready", PATIENCE)?;
    let line = format!("s: {SERVICES} services: 0 files filled, {SERVICES} updated");
    ensure!(log.contains(&line), "not {line:?}:\n{log}");
    Ok(host.machine.poweroff()?)
}
