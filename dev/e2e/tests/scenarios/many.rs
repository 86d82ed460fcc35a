//! Two thousand services, and five hundred files of one: nothing is lost, and luod stays small.
//!
//! On a real kernel in emulation two thousand services take minutes to start, so there are fewer unless
//! `E2E_SESSIONS` asks for more: `E2E_SESSIONS=2000 cargo xtask test --only many::`.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::Series;
use e2e::protocol::When;

use crate::harness::{Lab, Scenario};
use crate::host::Host;
use crate::platform::Platform;

const NAME: &str = "many::sessions_and_500_files_in_one";
/// Each a service with a file of one byte, connected twice: once for calls, once for events.
const SESSIONS: usize = 2000;
/// The same on a real kernel.
const FEWER_SESSIONS: usize = 300;
/// Asks for another number.
const VARIABLE: &str = "E2E_SESSIONS";
/// Of one more service.
const FILES: usize = 500;
/// Longest start of all services, in emulation on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);
/// What luod may take with all of them connected, in KiB.
const LIMIT_KIB: u64 = 32 << 10;

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new(NAME, many)]
}

fn many(lab: &Lab) -> anyhow::Result<()> {
    let sessions = match (env::var(VARIABLE), lab.platform()) {
        (Ok(count), _) => count.parse().context(VARIABLE)?,
        (Err(_unset), Platform::Emulated) => SESSIONS,
        (Err(_unset), Platform::Kernel) => FEWER_SESSIONS,
    };
    let one = format!("/bin/e2e-client service --name file --numbered {FILES} --quiet");
    let all =
        format!("/bin/e2e-client service --name s --count {sessions} --item one-byte --quiet");
    let services = [
        ("file", When::Always, one.as_str()),
        ("s", When::Always, all.as_str()),
    ];
    let host = Host::boot(lab, Series::V7_2, &services)?;
    ready(&host, sessions, |files| {
        format!("{files} files filled, 0 updated")
    })?;
    host.update(Series::V7_3)?;
    ready(&host, sessions, |files| {
        format!("0 files filled, {files} updated")
    })?;
    let report = host.luoctl("report")?.success()?.stdout();
    ensure!(report.contains("lost: nothing"), "{report}");
    host.check_normal(u64::try_from(sessions)? + 1)?;
    Ok(host.machine.poweroff()?)
}

/// Waits for every service, and looks at what became of their files and at luod.
fn ready(host: &Host, sessions: usize, files: impl Fn(usize) -> String) -> anyhow::Result<()> {
    for (name, services, count) in [("file", 1, FILES), ("s", sessions, sessions)] {
        let end = format!("{name}: all ready");
        let log = host.machine.wait_log(name, &end, PATIENCE)?;
        let line = format!("{name}: {services} services: {}", files(count));
        ensure!(log.lines().any(|said| said == line), "not {line:?}:\n{log}");
    }
    // The largest it has been so far.
    let kib = memory(host)?;
    ensure!(kib < LIMIT_KIB, "luod takes {kib} KiB");
    Ok(())
}

/// `VmHWM` of luod.
fn memory(host: &Host) -> anyhow::Result<u64> {
    let status = host.json("status")?;
    let pid = status["pid"].as_u64().context("luod has no pid")?;
    let text = host.machine.read_file(&format!("/proc/{pid}/status"))?;
    let text = String::from_utf8_lossy(&text);
    let peak = text.lines().find_map(|line| {
        let kib = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
        kib.parse().ok()
    });
    peak.with_context(|| text.clone().into_owned())
}
