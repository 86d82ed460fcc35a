//! Two thousand sessions and five hundred files of one service, with everything that luod holds in systemd's store.
//!
//! In emulation two thousand services take minutes to start, so there are fewer unless `E2E_SESSIONS` asks for more.

use std::env;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::guest::SystemdGuest;
use super::update_line;
use crate::harness::Lab;

/// Services, each with a file of one byte.
const SESSIONS: usize = 120;
/// Asks for another number.
const VARIABLE: &str = "E2E_SESSIONS";
/// Files of one more service.
const FILES: usize = 500;
/// Services and files of `kept.service`.
const KEPT: (usize, usize) = (1, 2);
/// What luod refuses that passes a limit with.
const LIMIT_REACHED: i32 = 18;

pub(super) fn many(lab: &Lab) -> anyhow::Result<()> {
    let sessions = match env::var(VARIABLE) {
        Ok(count) => count.parse().context(VARIABLE)?,
        Err(_unset) => SESSIONS,
    };
    let guest = SystemdGuest::boot(lab)?;
    let units = format!("many@{sessions}.service files@{FILES}.service");
    guest.done(&format!("systemctl enable --now {units}"))?;
    ready(&guest, sessions, |files| {
        format!("{files} files filled, 0 updated")
    })?;
    guest.jump(&update_line())?;
    ready(&guest, sessions, |files| {
        format!("0 files filled, {files} updated")
    })?;
    let report = guest.json("report")?;
    ensure!(report["lost"] == json!([]), "{report:#}");
    ensure!(report["warnings"] == json!([]), "{report:#}");
    no_room(&guest, sessions)?;
    Ok(guest.machine.poweroff()?)
}

/// Waits for every service, and looks at what became of their files.
fn ready(
    guest: &SystemdGuest,
    sessions: usize,
    files: impl Fn(usize) -> String,
) -> anyhow::Result<()> {
    for (log, name, services, count) in [
        ("files", "file", 1, FILES),
        ("many", "s", sessions, sessions),
    ] {
        let said = guest.wait_log(log, &format!("{name}: all ready"))?;
        let line = format!("{name}: {services} services: {}", files(count));
        ensure!(
            said.lines().any(|said| said == line),
            "not {line:?}:\n{said}"
        );
    }
    guest.wait_log("kept", "kept: subscribed")?;
    let (services, items) = (sessions + 1 + KEPT.0, sessions + FILES + KEPT.1);
    let status = guest.json("status")?;
    ensure!(status["services"] == services, "{status:#}");
    ensure!(status["items"] == items, "{status:#}");
    ensure!(status["phase"] == "normal", "{status:#}");
    Ok(())
}

/// Files fit into the store and the sessions of an update beside them do not: that is said before anything is touched.
fn no_room(guest: &SystemdGuest, sessions: usize) -> anyhow::Result<()> {
    // The files, the journal, room for its next one, and for all sessions but one: those of services and the journal's.
    let stored = sessions + FILES + KEPT.1 + 1;
    let made = sessions + 1 + KEPT.0 + 1;
    let limit = stored + 1 + made - 1;
    let folder = "/run/systemd/system/luod.service.d";
    guest.done(&format!("mkdir --parents {folder}"))?;
    let lines = format!("[Service]\nFileDescriptorStoreMax={limit}\n");
    let path = format!("{folder}/limit.conf");
    guest.machine.write_file(&path, 0o644, lines.as_bytes())?;
    guest.done("systemctl daemon-reload")?;
    guest.done("systemctl restart luod.service")?;
    let words = format!(
        "the update makes {made} sessions, and systemd stores only {} descriptors more for luod",
        made - 1
    );
    guest.refused(&update_line(), LIMIT_REACHED, &[&words])?;
    let status = guest.json("status")?;
    ensure!(status["phase"] == "normal", "{status:#}");
    ensure!(status["is_image_loaded"] == false, "{status:#}");
    ensure!(status["items"] == stored - 1, "{status:#}");
    Ok(())
}
