//! `luoctl pstore check`: whether the last lines of this kernel reach the next one.

use std::process::ExitCode;

use preflight::{CommandLine, LogFinding, Target, Verdict, check_log, check_next_log};
use running_kernel::Sources;
use serde_json::json;

use crate::check::{STOPPED, row};
use crate::cli::{Cli, NextKernelArgs, PstoreCheckArgs};
use crate::failure::Failure;
use crate::next_kernel::{NextKernel, cmdline, content};
use crate::output::{self, Layout};

/// Width of the longest topic.
const NAME_WIDTH: usize = 12;

pub(super) fn check(cli: &Cli, args: &PstoreCheckArgs) -> Result<ExitCode, Failure> {
    let running = Sources::default().read();
    let mut findings = check_log(&running);
    if let Some((line, kernel)) = next(&args.next)? {
        let line = CommandLine::new(&line);
        let target = kernel.map(|kernel| Target::read(&kernel, None, line.as_str()));
        let config = target.and_then(|target| target.kernel.ok()?.config);
        findings.extend(check_next_log(&running, &line, config.as_ref()));
    }
    let is_lost = findings
        .iter()
        .any(|found| found.verdict == Verdict::Refused);
    let is_sure = findings.iter().all(|found| found.verdict == Verdict::Ok);
    if cli.json {
        let value = json!({ "findings": findings, "is_lost": is_lost, "is_sure": is_sure });
        output::json(&value, Layout::Indented);
    } else {
        output::text(&text(&findings, is_lost, is_sure));
    }
    Ok(if is_lost {
        ExitCode::from(STOPPED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Command line and kernel of what comes next, as far as they are named.
fn next(args: &NextKernelArgs) -> Result<Option<(String, Option<Vec<u8>>)>, Failure> {
    if args.kernel.is_some() || args.entry.is_some() {
        let next = NextKernel::open(args)?;
        let kernel = content("kernel", &next.kernel)?;
        return Ok(Some((next.cmdline, Some(kernel))));
    }
    if args.cmdline.is_some() || args.reuse_cmdline {
        return Ok(Some((cmdline(args, None)?, None)));
    }
    Ok(None)
}

fn text(findings: &[LogFinding], is_lost: bool, is_sure: bool) -> String {
    let rows = findings.iter();
    let rows = rows.map(|found| row(found, found.check.name(), NAME_WIDTH));
    let end = match (is_lost, is_sure) {
        (true, _) => "the log of this kernel would be lost",
        (false, true) => "the log of this kernel reaches the next one",
        (false, false) => "nothing is against it; not everything can be told",
    };
    format!("{}\n{end}\n", rows.collect::<String>())
}
