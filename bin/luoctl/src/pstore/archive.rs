//! `luoctl pstore collect` and `list`.

use std::fmt::Write as _;
use std::process::ExitCode;

use pstore_archive::{
    Afterwards, Archive, Boot, BootLog, Collected, Extent, Outcome, ShutdownLog, Store, StoreState,
};
use running_kernel::Sources;
use serde_json::json;

use super::failure;
use crate::cli::{ArchiveArgs, Cli, CollectArgs};
use crate::failure::Failure;
use crate::output::{self, Layout};
use crate::show::moment;

pub(super) fn collect(cli: &Cli, args: &CollectArgs) -> Result<ExitCode, Failure> {
    let archive = Archive::at(args.archive.archive.clone());
    let afterwards = if args.unlink {
        Afterwards::Remove
    } else {
        Afterwards::Leave
    };
    let extent = if args.dry_run {
        Extent::Rehearsal
    } else {
        Extent::Whole
    };
    let boot = this_boot();
    let store = Store::at(args.from.clone());
    let collected = archive.collect(&store, &boot, afterwards, extent, args.keep);
    let collected = collected.map_err(|error| failure(&error))?;
    if cli.json {
        let value = json!({
            "number": collected.entry.manifest.number,
            "boot_id": collected.entry.manifest.boot.boot_id,
            "kexec_count": collected.entry.manifest.boot.kexec_count,
            "folder": collected.entry.folder,
            "store": collected.store,
            "records": collected.records,
            "pruned": collected.pruned,
            "is_dry_run": args.dry_run,
        });
        output::json(&value, Layout::Indented);
    } else {
        output::text(&told(&collected, extent));
    }
    Ok(ExitCode::SUCCESS)
}

/// The boot that collects.
fn this_boot() -> Boot {
    let sources = Sources::default();
    let origin = sources.origin();
    Boot {
        boot_id: sources.boot_id().unwrap_or_else(|| "unknown".to_owned()),
        release: sources.release(),
        kexec_count: origin.kexec_count,
        previous_release: origin.previous_release,
    }
}

fn told(collected: &Collected, extent: Extent) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _infallible = writeln!(text, "{words}");
    };
    for record in &collected.records {
        let outcome = match &record.outcome {
            Outcome::Copied if extent == Extent::Rehearsal => "would be copied".to_owned(),
            Outcome::Copied => "copied".to_owned(),
            Outcome::Known => "collected in this boot already".to_owned(),
            Outcome::Repeated => "collected in an earlier boot already".to_owned(),
            Outcome::Unreadable(why) => format!("CANNOT BE READ: {why}"),
        };
        let removed = match (&record.not_removed, record.is_removed) {
            (Some(why), _) => format!(", stays in pstore: {why}"),
            (None, true) => ", removed from pstore".to_owned(),
            (None, false) => String::new(),
        };
        line(format!("{}: {outcome}{removed}", record.name));
    }
    if collected.records.is_empty() {
        line(match &collected.store {
            StoreState::Unsupported => "this kernel has no pstore".to_owned(),
            StoreState::NotMounted => {
                "pstore is not mounted: mount -t pstore pstore /sys/fs/pstore".to_owned()
            }
            StoreState::NoBackend => "no backend keeps records".to_owned(),
            StoreState::Ready { backend } => format!("{backend} has no records"),
            StoreState::Folder => "there is no file".to_owned(),
        });
    }
    let number = collected.entry.manifest.number;
    let folder = collected.entry.folder.display();
    line(format!("boot {number}: {folder}"));
    if collected.pruned != 0 {
        line(format!("{} of the oldest boots removed", collected.pruned));
    }
    text
}

pub(super) fn list(cli: &Cli, args: &ArchiveArgs) -> Result<ExitCode, Failure> {
    let archive = Archive::at(args.archive.clone());
    let entries = archive.entries().map_err(|error| failure(&error))?;
    let logs = entries.iter().map(|entry| BootLog::read(&archive, entry));
    let logs: Vec<_> = logs
        .collect::<Result<_, _>>()
        .map_err(|error| failure(&error))?;
    if cli.json {
        let boots: Vec<_> = logs.iter().map(summary).collect();
        output::json(&json!({ "boots": boots }), Layout::Indented);
    } else if logs.is_empty() {
        output::text("the archive is empty: `luoctl pstore collect` fills it");
    } else {
        let lines = logs.iter().map(listed);
        output::text(&lines.collect::<String>());
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(log: &BootLog) -> serde_json::Value {
    let dumps = log.dumps.iter().map(|dump| {
        json!({
            "reason": dump.reason,
            "count": dump.count,
            "time_ns": dump.time_ns,
            "records": dump.records,
            "missing_parts": dump.missing_parts,
            "is_repeated": dump.is_repeated,
            "lines": dump.lines.len(),
        })
    });
    json!({
        "boot": log.manifest,
        "dumps": dumps.collect::<Vec<_>>(),
        "shutdown": log.shutdown,
    })
}

fn listed(log: &BootLog) -> String {
    let boot = &log.manifest.boot;
    let count = boot.kexec_count.map_or("?".to_owned(), |n| n.to_string());
    let previous = boot.previous_release.as_deref();
    let from = previous.map_or(String::new(), |release| format!(" from {release}"));
    let mut text = format!(
        "{:>4}  {}  {}  {}{from}, kexec count {count}\n",
        log.manifest.number,
        moment(log.manifest.collected_ns.into()),
        boot.boot_id.get(..8).unwrap_or(&boot.boot_id),
        boot.release
    );
    let mut line = |words: &str| {
        let _infallible = writeln!(text, "        {words}");
    };
    match &log.shutdown {
        ShutdownLog::Kept {
            lines, last_line, ..
        } => line(&format!(
            "shutdown log: {lines} lines, the last: {last_line}"
        )),
        ShutdownLog::Absent { message, .. } => line(&format!("no shutdown log: {message}")),
    }
    for dump in log.dumps.iter().filter(|dump| dump.reason.is_crash()) {
        let again = if dump.is_repeated {
            " (of an earlier boot)"
        } else {
            ""
        };
        let (reason, lines) = (&dump.reason, dump.lines.len());
        line(&format!(
            "{reason} of {}: {lines} lines{again}",
            moment(i128::from(dump.time_ns))
        ));
    }
    for record in log.records.iter().filter(|record| record.header.is_none()) {
        line(&format!(
            "{}: {} bytes",
            record.entry.name,
            record.body.len()
        ));
    }
    for record in &log.records {
        if let Some(damage) = &record.damage {
            line(&format!("{} is DAMAGED: {damage}", record.entry.name));
        }
    }
    for (name, why) in &log.manifest.unreadable {
        line(&format!("{name} could not be read: {why}"));
    }
    text
}
