//! Answers as text.

use std::fmt::Write as _;

use jiff::Timestamp;
use luod_api::manager::{PastUpdate, ServiceEntry, Sessions, Status};
use update::{Boot, ItemState, PreviousLog, Report, SessionState};

/// Width of the longest bar in a report, in characters.
const BAR: f64 = 30.0;

pub(crate) fn status(status: &Status) -> String {
    let mut text = format!("phase     {}\n", status.phase);
    let mut line = |name: &str, value: String| {
        let _infallible = writeln!(text, "{name:<9} {value}");
    };
    line("kernel", kernel(status));
    line("luod", format!("{} (pid {})", status.version, status.pid));
    line(
        "holder",
        status
            .holder_pid
            .map_or("systemd".to_owned(), |pid| format!("pid {pid}")),
    );
    line(
        "device",
        if status.device.is_usable {
            "usable".to_owned()
        } else {
            status.device.reason.clone()
        },
    );
    line(
        "image",
        match status.is_image_loaded {
            Some(true) => "loaded".to_owned(),
            Some(false) => "none loaded".to_owned(),
            None => "unknown: this kernel has no kexec".to_owned(),
        },
    );
    line(
        "services",
        format!(
            "{} registered, {} connected",
            status.services, status.connected
        ),
    );
    line(
        "kept",
        format!("{}, {}", items(status.items), size(status.bytes)),
    );
    if !status.unfinished.is_empty() {
        line(
            "waiting",
            format!("for {} to finish", status.unfinished.join(", ")),
        );
    }
    text
}

fn kernel(status: &Status) -> String {
    let count = |count: Option<u64>, what: &str| match count {
        Some(count) => format!("{what} {count}"),
        None => format!("{what} unknown"),
    };
    format!(
        "{} ({}, {})",
        status.release,
        count(status.liveupdate_number, "live update number"),
        count(status.kexec_count.map(u64::from), "kexec count")
    )
}

pub(crate) fn sessions(sessions: &Sessions) -> String {
    if sessions.services.is_empty() {
        return "no service is registered".to_owned();
    }
    sessions.services.iter().map(service).collect()
}

fn service(entry: &ServiceEntry) -> String {
    let record = &entry.record;
    let program = entry
        .pid
        .map_or("not connected".to_owned(), |pid| format!("pid {pid}"));
    let session = match &record.session {
        None => String::new(),
        Some(session) => match &session.state {
            SessionState::Outgoing => format!(", session {} for the next kernel", session.name),
            SessionState::Incoming => format!(", session {} waits to be finished", session.name),
            SessionState::Missing { reason } => {
                format!(", session {} LOST: {reason}", session.name)
            }
        },
    };
    let mut text = format!(
        "{} (user {}, {program}{session})\n",
        record.name, record.uid
    );
    for item in &record.items {
        let state = match &item.state {
            ItemState::Held => "held".to_owned(),
            ItemState::Incoming => "waits to be retrieved".to_owned(),
            ItemState::Discarded => "discarded".to_owned(),
            ItemState::Lost { reason } => format!("LOST: {reason}"),
        };
        let _infallible = writeln!(
            text,
            "  {:<24} token {:<5} schema {:<4} {:>11}  {state}",
            item.name,
            item.token,
            item.schema,
            size(item.size_bytes)
        );
    }
    text
}

/// A line for each update that ended.
pub(crate) fn history(updates: &[PastUpdate]) -> String {
    if updates.is_empty() {
        return "no update has ended on this host".to_owned();
    }
    let mut text = String::new();
    for past in updates {
        let report = &past.report;
        let when = moment(past.ended_ns.into());
        let end = match (&report.cancelled, &report.to_release) {
            (Some(reason), _) => format!("cancelled: {reason}"),
            (None, Some(to)) => format!("-> {to:<16} {}", outcome(report)),
            (None, None) => "no jump".to_owned(),
        };
        let _infallible = writeln!(text, "{when} UTC  {:<16} {end}", report.from_release);
    }
    text
}

/// A time in nanoseconds since 1970, for people.
pub(crate) fn moment(ns: i128) -> String {
    let at = Timestamp::from_nanosecond(ns);
    at.map_or_else(
        |_| "(no time)".to_owned(),
        |at| at.strftime("%F %T").to_string(),
    )
}

fn outcome(report: &Report) -> String {
    let down = match report.blackout_ms {
        Some(ms) => format!("down {ms:.0} ms"),
        None => "not down".to_owned(),
    };
    let lost = match report.lost.len() {
        0 => "lost nothing".to_owned(),
        count => format!("LOST {}", items(count)),
    };
    let services = report.clients.len();
    let plural = if services == 1 { "" } else { "s" };
    format!("{down}, {services} service{plural}, {lost}")
}

pub(crate) fn report(report: &Report) -> String {
    let mut text = format!("update {}\n", report.update_id);
    let to = report.to_release.as_deref().unwrap_or("(no jump)");
    let _infallible = writeln!(text, "kernel {} -> {to}", report.from_release);
    if let Some(reason) = &report.cancelled {
        let _infallible = writeln!(text, "CANCELLED: {reason}");
    }
    let number = |number: Option<u64>| number.map_or("unknown".to_owned(), |n| n.to_string());
    if report.to_release.is_some() {
        let _infallible = writeln!(
            text,
            "live update number {}, kexec count {}, phase {}",
            number(report.liveupdate_number),
            number(report.kexec_count.map(u64::from)),
            report.phase
        );
    }
    text.push_str(&phases(report));
    text.push_str(&clients(report));
    if report.to_release.is_some() || !report.lost.is_empty() {
        text.push_str(&lost(report));
    }
    text.push_str(&log(report));
    text.push_str(&chain(&report.chain));
    for warning in &report.warnings {
        let _infallible = writeln!(text, "WARNING: {warning}");
    }
    text
}

fn log(report: &Report) -> String {
    match &report.previous_log {
        Some(PreviousLog::Kept { lines, last_line }) => format!(
            "log of the kernel before: kept, {lines} lines, the last: {last_line} (luoctl pstore show)\n"
        ),
        Some(PreviousLog::Absent { reason }) => {
            format!("log of the kernel before: not kept: {reason}\n")
        }
        None => String::new(),
    }
}

/// The kernels since the cold boot on one line.
fn chain(boots: &[Boot]) -> String {
    if boots.is_empty() {
        return String::new();
    }
    let names: Vec<_> = boots.iter().map(|boot| &*boot.release).collect();
    format!("kernels since the cold boot: {}\n", names.join(" -> "))
}

/// A line for each boot.
pub(crate) fn boots(boots: &[Boot]) -> String {
    let mut text = String::new();
    for boot in boots {
        let count = match boot.kexec_count {
            Some(0) => "cold boot".to_owned(),
            Some(count) => format!("kexec {count}"),
            None => "kexec count unknown".to_owned(),
        };
        let from = boot.previous_release.as_deref();
        let from = from.map_or(String::new(), |release| format!(" from {release}"));
        let update = boot.update_id.as_deref();
        let update = update.map_or(String::new(), |id| format!(", update {id}"));
        let _infallible = writeln!(
            text,
            "{} UTC  {:<16} {count}{from}{update}",
            moment(boot.started_ns.into()),
            boot.release
        );
    }
    text
}

fn phases(report: &Report) -> String {
    let longest = report
        .phases
        .iter()
        .map(|phase| phase.ms)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut text = String::new();
    for phase in &report.phases {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and BAR"
        )]
        let width = (phase.ms / longest * BAR).ceil() as usize;
        let mark = if phase.is_blackout { "#" } else { "-" };
        let _infallible = writeln!(
            text,
            "  {:<20} {:>10.1} ms {}",
            phase.name,
            phase.ms,
            mark.repeat(width)
        );
    }
    if let Some(ms) = report.blackout_ms {
        let _infallible = writeln!(text, "  {:<20} {ms:>10.1} ms (phases marked #)", "blackout");
    }
    text
}

fn clients(report: &Report) -> String {
    let mut text = String::new();
    for client in &report.clients {
        let blackout = match client.blackout_ms {
            Some(ms) => format!("down {ms:.1} ms"),
            None if report.to_release.is_none() => "not down".to_owned(),
            None => "not running again yet".to_owned(),
        };
        let finish = if client.is_unfinished {
            ", not finished"
        } else {
            ""
        };
        let _infallible = writeln!(
            text,
            "  service {:<20} {blackout}, {}, {}{finish}",
            client.service,
            items(client.items),
            size(client.bytes)
        );
    }
    text
}

fn lost(report: &Report) -> String {
    if report.lost.is_empty() {
        return "lost: nothing\n".to_owned();
    }
    let mut text = String::new();
    for lost in &report.lost {
        let kind = if lost.is_required {
            "REQUIRED"
        } else {
            "optional"
        };
        let _infallible = writeln!(
            text,
            "lost ({kind}): {} of {}: {}",
            lost.item, lost.service, lost.reason
        );
    }
    text
}

fn items(count: usize) -> String {
    match count {
        1 => "1 item".to_owned(),
        _ => format!("{count} items"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests;
