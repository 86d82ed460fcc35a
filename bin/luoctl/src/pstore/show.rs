//! `luoctl pstore show` and `export`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use pstore_archive::{Archive, BootLog, DumpLog, ReadRecord, ShutdownLog, TextLine};
use serde_json::{Value, json};

use super::{failure, no_log};
use crate::cli::{Cli, ExportArgs, ShowArgs};
use crate::failure::Failure;
use crate::inspect::cannot_write;
use crate::output::{self, Layout};
use crate::show::moment;

/// What is shown: its name, and its lines.
struct Shown {
    title: String,
    lines: Vec<TextLine>,
}

pub(super) fn show(cli: &Cli, args: &ShowArgs) -> Result<ExitCode, Failure> {
    let log = read(&Archive::at(args.archive.archive.clone()), &args.boot)?;
    let mut shown = match &args.record {
        Some(name) => record(&log, name)?,
        None => last_log(&log)?,
    };
    if let Some(level) = args.level {
        // Lines without one are of a console: whether they are grave is not known.
        shown
            .lines
            .retain(|line| line.level.is_some_and(|found| found <= level));
    }
    if cli.json {
        let value = json!({
            "boot": log.manifest,
            "title": shown.title,
            "shutdown": log.shutdown,
            "lines": shown.lines,
        });
        output::json(&value, Layout::Indented);
    } else {
        output::text(&format!("{}\n{}", shown.title, text(&shown.lines)));
    }
    Ok(ExitCode::SUCCESS)
}

fn read(archive: &Archive, boot: &str) -> Result<BootLog, Failure> {
    let entry = archive.entry(boot).map_err(|error| failure(&error))?;
    BootLog::read(archive, &entry).map_err(|error| failure(&error))
}

fn record(log: &BootLog, name: &str) -> Result<Shown, Failure> {
    let mut records = log.records.iter();
    let found = records.find(|record| record.entry.name == name || record.entry.file == name);
    let found = found.ok_or_else(|| {
        no_log(format!(
            "boot {} has no record {name:?}",
            log.manifest.number
        ))
    })?;
    Ok(Shown {
        title: format!("{name} of boot {}", log.manifest.number),
        lines: found.lines(),
    })
}

fn last_log(log: &BootLog) -> Result<Shown, Failure> {
    match &log.shutdown {
        ShutdownLog::Kept { dump, .. } => {
            let dump = log.dumps.get(*dump);
            let dump = dump.ok_or_else(|| no_log("the dump is not there".to_owned()))?;
            Ok(Shown {
                title: title(log, dump),
                lines: dump.lines.clone(),
            })
        }
        ShutdownLog::Absent { message, .. } => Err(no_log(format!(
            "boot {} has no shutdown log: {message}",
            log.manifest.number
        ))),
    }
}

fn title(log: &BootLog, dump: &DumpLog) -> String {
    let missing = match dump.missing_parts {
        0 => String::new(),
        count => format!(", {count} PARTS MISSING"),
    };
    let previous = log.manifest.boot.previous_release.as_deref();
    let release = previous.map_or(String::new(), |release| format!(" of {release}"));
    format!(
        "{}{release} at {} UTC, {} lines, read in boot {}{missing}",
        dump.reason,
        moment(i128::from(dump.time_ns)),
        dump.lines.len(),
        log.manifest.number
    )
}

fn text(lines: &[TextLine]) -> String {
    let mut text = String::new();
    for line in lines {
        if let Some(level) = line.level {
            let _infallible = write!(text, "{:<7} ", level.name());
        }
        if let Some(time) = line.time_us {
            let (seconds, micros) = (time.micros / 1_000_000, time.micros % 1_000_000);
            let _infallible = write!(text, "[{seconds:>5}.{micros:06}] ");
        }
        let _infallible = writeln!(text, "{}", line.text);
    }
    text
}

pub(super) fn export(cli: &Cli, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let archive = Archive::at(args.archive.archive.clone());
    let logs = match &args.boot {
        Some(boot) => vec![read(&archive, boot)?],
        None => {
            let entries = archive.entries().map_err(|error| failure(&error))?;
            let logs = entries.iter().map(|entry| BootLog::read(&archive, entry));
            let logs: Result<Vec<_>, _> = logs.collect();
            logs.map_err(|error| failure(&error))?
        }
    };
    let values: Vec<_> = logs.iter().map(whole).collect();
    let value = json!({ "boots": values });
    let Some(folder) = &args.to else {
        output::json(&value, Layout::Indented);
        return Ok(ExitCode::SUCCESS);
    };
    let mut files = BTreeMap::new();
    for log in &logs {
        files.extend(texts(log));
    }
    let index = serde_json::to_string_pretty(&value).unwrap_or_default();
    files.insert("index.json".to_owned(), index.into_bytes());
    for (name, content) in &files {
        write(&folder.join(name), content)?;
    }
    let names: Vec<_> = files.keys().collect();
    if cli.json {
        output::json(
            &json!({ "folder": folder, "files": names }),
            Layout::Indented,
        );
    } else {
        let count = names.len();
        output::text(&format!("{count} files in {}", folder.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is known, with the lines of every record.
fn whole(log: &BootLog) -> Value {
    let mut value = json!(log);
    let lines = log.records.iter().map(lines_of);
    if let Some(records) = value.get_mut("contents").and_then(Value::as_array_mut) {
        for (record, lines) in records.iter_mut().zip(lines) {
            if let Some(object) = record.as_object_mut() {
                object.insert("lines".to_owned(), lines);
            }
        }
    }
    value
}

/// Of a dump they are with the dump, joined.
fn lines_of(record: &ReadRecord) -> Value {
    let is_text = record.kind.is_some_and(pstore::RecordKind::is_text);
    if is_text && record.header.is_none() {
        json!(record.lines())
    } else {
        Value::Null
    }
}

/// A file for each dump and for each other record of a boot, by the folder of the boot.
fn texts(log: &BootLog) -> BTreeMap<String, Vec<u8>> {
    let number = log.manifest.number;
    let dumps = log.dumps.iter().enumerate().map(|(at, dump)| {
        let reason = dump.reason.to_string().to_lowercase();
        let name = format!("{number:06}/{reason}-{at}.txt");
        (name, text(&dump.lines).into_bytes())
    });
    let records = log.records.iter();
    let others = records.filter(|record| record.header.is_none());
    let others = others.map(|record| {
        let name = format!("{number:06}/{}", record.entry.file);
        (name, record.body.clone())
    });
    dumps.chain(others).collect()
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, content));
    written.map_err(|error| cannot_write(path, &error))
}
