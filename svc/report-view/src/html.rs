//! A report as one page; nothing is loaded from elsewhere.

use std::fmt::Write as _;

use update::{PreviousLog, Report};

use crate::chart::{Kind, blackout, duration, escape, rows, svg, whole};

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em;max-width:64em}\
table{border-collapse:collapse;margin:.5em 0}td,th{padding:.15em .8em .15em 0;text-align:left}\
td.n{text-align:right;font-family:monospace}.bad{color:#c0392b}\
i{display:inline-block;width:1em;height:1em;margin:0 .4em 0 1em;vertical-align:-.15em}\
svg{background:#fafafa;border:1px solid #ccc}";

/// The report as a page.
pub fn to_html(report: &Report) -> String {
    let to = report.to_release.as_deref();
    let title = match to {
        Some(to) => format!("Linux {} to {}", report.from_release, to),
        None => format!("Linux {}, no jump", report.from_release),
    };
    let title = escape(&title);
    let mut page = String::from("<!doctype html>\n<html lang=en><meta charset=utf-8>");
    let mut line = |text: &str| {
        page.push_str(text);
        page.push('\n');
    };
    line(&format!("<title>{title}</title><style>{STYLE}</style>"));
    line(&format!("<h1>{title}</h1>"));
    line(&summary(report));
    line(&lost(report));
    line(&before(report));
    let rows = rows(report);
    let legend =
        Kind::ALL.map(|(kind, name)| format!("<i style=background:{}></i>{name}", kind.colour()));
    let parts = [
        ("Blackout", blackout(&rows)),
        ("The whole update", whole(&rows)),
    ];
    for (name, time) in parts {
        if let Some(time) = time {
            line(&format!("<h2>{name}</h2><p>{}<p>", legend.concat()));
            line(&svg(&rows, &time));
        }
    }
    line(&phases(report));
    line(&clients(report));
    line("</html>");
    page
}

fn summary(report: &Report) -> String {
    let mut text = format!("<p>Update <code>{}</code>", escape(&report.update_id));
    if let Some(number) = report.liveupdate_number {
        let _infallible = write!(text, ", live update {number} of this boot chain");
    }
    if let Some(count) = report.kexec_count {
        let _infallible = write!(text, ", kexec {count}");
    }
    let _infallible = writeln!(text, "; the host is {} now.", report.phase);
    if let Some(reason) = &report.cancelled {
        let _infallible = writeln!(text, "<p class=bad>Cancelled: {}", escape(reason));
    }
    if let Some(ms) = report.blackout_ms {
        let _infallible = writeln!(
            text,
            "<p>From the first service frozen to the last one running again: <b>{}</b>.",
            duration(ms)
        );
    }
    text
}

/// The kernels since the cold boot, and what the last of them left.
fn before(report: &Report) -> String {
    let mut text = String::new();
    match &report.previous_log {
        Some(PreviousLog::Kept { lines, last_line }) => {
            let last = escape(last_line);
            let _infallible = writeln!(
                text,
                "<p>Log of the kernel before: {lines} lines, the last: <code>{last}</code>."
            );
        }
        Some(PreviousLog::Absent { reason }) => {
            let reason = escape(reason);
            let _infallible = writeln!(text, "<p>Log of the kernel before: not kept: {reason}.");
        }
        None => {}
    }
    let releases = report.chain.iter().map(|boot| escape(&boot.release));
    let releases: Vec<_> = releases.collect();
    if !releases.is_empty() {
        let chain = releases.join(" &rarr; ");
        let _infallible = writeln!(text, "<p>Kernels since the cold boot: {chain}.");
    }
    text
}

fn lost(report: &Report) -> String {
    if report.lost.is_empty() {
        return "<p>Lost: nothing.".to_owned();
    }
    let mut text = String::from("<h2 class=bad>Lost</h2><ul>");
    for lost in &report.lost {
        let kind = if lost.is_required {
            "required"
        } else {
            "optional"
        };
        let _infallible = write!(
            text,
            "<li class=bad>{} of {} ({kind}): {}",
            escape(&lost.item),
            escape(&lost.service),
            escape(&lost.reason)
        );
    }
    text + "</ul>"
}

fn phases(report: &Report) -> String {
    let mut text = String::from("<h2>Phases</h2><table>");
    for phase in &report.phases {
        let down = if phase.is_blackout {
            "services stand still"
        } else {
            ""
        };
        let _infallible = write!(
            text,
            "<tr><td>{}<td class=n>{}<td>{down}",
            escape(&phase.name),
            duration(phase.ms)
        );
    }
    text + "</table>"
}

fn clients(report: &Report) -> String {
    let head = "<h2>Services</h2><table><tr><th>service<th>down<th>items<th>bytes<th>";
    let mut text = String::from(head);
    for client in &report.clients {
        let down = client
            .blackout_ms
            .map_or("not running again".to_owned(), duration);
        let state = if client.is_unfinished {
            "not finished"
        } else {
            ""
        };
        let _infallible = write!(
            text,
            "<tr><td>{}<td class=n>{down}<td class=n>{}<td class=n>{}<td class=bad>{state}",
            escape(&client.service),
            client.items,
            client.bytes
        );
    }
    text + "</table>"
}
