//! `luoctl check`: whether a kernel can take over what this host keeps.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use luod_api::manager::{Cancel, method};
use preflight::{Check, Finding, Target, Verdict};
use running_kernel::Sources;
use serde_json::json;

use crate::cli::{CheckArgs, Cli};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::next_kernel::{NextKernel, content};
use crate::output::{self, Layout};
use crate::update::{milliseconds, request, send};

/// Exit code when an update would be stopped.
pub(crate) const STOPPED: u8 = 22;
/// Width of the longest name of a check.
const NAME_WIDTH: usize = 12;

pub(crate) fn check(cli: &Cli, args: &CheckArgs) -> Result<ExitCode, Failure> {
    let next = NextKernel::open(&args.next)?;
    let kernel = content("kernel", &next.kernel)?;
    let initrd = next.initrd.as_ref();
    let initrd = initrd.map(|file| content("initrd", file)).transpose()?;
    let target = Target::read(&kernel, initrd.as_deref(), &next.cmdline);
    let findings = preflight::check(&target, &Sources::default().read());
    let stops: Vec<Check> = findings
        .iter()
        .filter(|finding| finding.stops())
        .map(|finding| finding.check)
        .collect();
    if cli.json {
        let release = target.kernel.ok().and_then(|kernel| kernel.release);
        let value = json!({ "release": release, "findings": findings, "stops": stops });
        output::json(&value, Layout::Line);
    } else {
        output::text(&table(&findings, &stops));
    }
    if !stops.is_empty() {
        return Ok(ExitCode::from(STOPPED));
    }
    if args.rehearse {
        rehearse(cli, args, &next)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(findings: &[Finding], stops: &[Check]) -> String {
    let mut text = String::new();
    for finding in findings {
        text += &row(finding, finding.check.name(), NAME_WIDTH);
    }
    let names: Vec<_> = stops.iter().map(|check| check.name()).collect();
    let _ = if names.is_empty() {
        writeln!(text, "\nan update to it would not be stopped")
    } else {
        writeln!(
            text,
            "\nan update to it would be stopped by {}",
            names.join(", ")
        )
    };
    text
}

/// A line for what was found, and one for what to do about it.
pub(crate) fn row<C>(finding: &Finding<C>, name: &str, width: usize) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Unknown => "unknown",
        Verdict::Refused => "refused",
    };
    let mut text = format!("{name:width$}  {verdict:7}  {}\n", finding.message);
    if !finding.hint.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {:7}  hint: {}", "", "", finding.hint);
    }
    text
}

/// A real PREPARE, undone.
fn rehearse(cli: &Cli, args: &CheckArgs, next: &NextKernel) -> Result<(), Failure> {
    let mut connection = Connection::open(cli)?;
    let start = Instant::now();
    let wanted = request(next, milliseconds(args.deadline));
    send(cli, next, &wanted, &mut connection)?;
    let prepared = start.elapsed();
    let cancel = Cancel {
        reason: "a rehearsal: luoctl check --rehearse".to_owned(),
    };
    let _done: luod_api::service::Done = Connection::open(cli)?.call(method::CANCEL, &cancel)?;
    let (prepared, all) = (prepared.as_secs_f64(), start.elapsed().as_secs_f64());
    if cli.json {
        let value = json!({ "prepare_ms": prepared * 1e3, "cancel_ms": (all - prepared) * 1e3 });
        output::json(&value, Layout::Line);
    } else {
        let cancelled = all - prepared;
        output::text(&format!(
            "rehearsed: prepared in {prepared:.2} s, cancelled in {cancelled:.2} s; services go on as before"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fits_its_column() {
        assert!(
            Check::ALL
                .iter()
                .all(|check| check.name().len() <= NAME_WIDTH)
        );
    }
}
