//! `luoctl pstore region`: records in the bytes of a region.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use luod_api::Code;
use pstore::ramoops::{Ecc, Geometry, Parameters, RegionRecord, ZoneRead, ZoneState, records};
use serde_json::json;

use crate::cli::{Cli, RegionArgs};
use crate::failure::Failure;
use crate::inspect::{UNREADABLE, cannot_write};
use crate::output::{self, Layout};

/// Bytes of the largest region that is read.
const MAX_REGION_BYTES: u64 = 1 << 30;

pub(super) fn region(cli: &Cli, args: &RegionArgs) -> Result<ExitCode, Failure> {
    let image = read(&args.file)?;
    let parameters = Parameters {
        mem_bytes: u64::try_from(image.len()).unwrap_or(u64::MAX),
        record_bytes: args.record_size,
        console_bytes: args.console_size,
        ftrace_bytes: args.ftrace_size,
        pmsg_bytes: args.pmsg_size,
        ecc: Ecc::of_parameter(args.ecc),
    };
    let geometry = Geometry::of(&parameters, args.processors)
        .map_err(|error| Failure::new(Code::InvalidParameter, error))?;
    let zones = records(&image, &geometry);
    if let Some(folder) = &args.to {
        fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
        for zone in &zones {
            if let ZoneState::Record(record) = &zone.state {
                write(folder, record)?;
            }
        }
    }
    if cli.json {
        let zones = zones.iter().map(
            |zone| json!({ "zone": zone.zone, "state": state(&zone.state), "record": name(zone) }),
        );
        output::json(
            &json!({ "zones": zones.collect::<Vec<_>>() }),
            Layout::Indented,
        );
    } else {
        let lines = zones.iter().map(|read| {
            let (at, bytes, state) = (read.zone.offset, read.zone.bytes, state(&read.state));
            format!("{at:#010x} {bytes:>8}  {state}\n")
        });
        output::text(&lines.collect::<String>());
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |message: String| Failure {
        exit_code: UNREADABLE,
        kind: "Unreadable",
        message,
        hint: String::new(),
    };
    let cannot =
        |error: std::io::Error| unreadable(format!("cannot read {}: {error}", path.display()));
    let length = fs::metadata(path).map_err(cannot)?.len();
    if length > MAX_REGION_BYTES {
        let text = format!(
            "{} has {length} bytes: that is no region of ramoops",
            path.display()
        );
        return Err(unreadable(text));
    }
    fs::read(path).map_err(cannot)
}

fn name(read: &ZoneRead) -> Option<String> {
    match &read.state {
        ZoneState::Record(record) => Some(record.name.to_string()),
        _ => None,
    }
}

fn state(state: &ZoneState) -> String {
    match state {
        ZoneState::Record(record) => format!("{}, {} bytes", record.name, record.bytes.len()),
        ZoneState::Empty => "empty".to_owned(),
        ZoneState::NoHeader => "no dump: it does not begin with a time".to_owned(),
        ZoneState::Invalid(error) => format!("never written: {error}"),
    }
}

/// As the driver would show it, with its time.
fn write(folder: &Path, record: &RegionRecord) -> Result<(), Failure> {
    let path = folder.join(record.name.to_string());
    let written = || {
        fs::write(&path, &record.bytes)?;
        let since = record.time_ns.and_then(|ns| u64::try_from(ns).ok());
        let time =
            since.and_then(|ns| SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(ns)));
        match time {
            Some(time) => File::options().write(true).open(&path)?.set_modified(time),
            None => Ok(()),
        }
    };
    written().map_err(|error| cannot_write(&path, &error))
}
