//! `sframe verify`.

use std::process::ExitCode;

use serde::Serialize;
use sframe_unwind::verify::{Finding, Place, Severity};
use sframe_unwind::{Policy, Section, verify_in_place};

use crate::cli::{PolicyArg, VerifyArgs};
use crate::failure::Failure;
use crate::input::{Input, Layout};
use crate::output;

/// Exit code when there are errors.
const ERRORS: u8 = 4;

#[derive(Debug, Serialize)]
struct Answer<'a> {
    errors: u64,
    warnings: u64,
    functions: u64,
    rows: u64,
    covered_bytes: u64,
    findings: Vec<Found<'a>>,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    severity: &'static str,
    code: &'static str,
    meaning: &'static str,
    fde: Option<u32>,
    start: Option<u64>,
    function: Option<&'a str>,
    row: Option<u32>,
    value: i64,
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let read = Input::read(&args.input, Layout::OneBehindTheOther)?;
    let section = Section::parse(&read.bytes, read.placement)?;
    let policy = match args.policy {
        PolicyArg::Spec => Policy::Spec,
        // A bare section is for the processor it says.
        PolicyArg::User => Policy::User(read.abi.unwrap_or(section.header().abi)),
        PolicyArg::KernelArm64 => Policy::KernelArm64,
        PolicyArg::KernelArm64Module => Policy::KernelArm64Module,
    };
    let mut findings = Vec::new();
    let mut keep = |finding| findings.push(finding);
    let place = Place {
        text: &read.text,
        is_loaded: read.is_loaded,
    };
    let report = match read.format {
        Some(_) => verify_in_place(&section, policy, &place, &mut keep),
        None => sframe_unwind::verify(&section, policy, &mut keep),
    };
    if args.json {
        output::json(&Answer {
            errors: report.errors,
            warnings: report.warnings,
            functions: report.functions,
            rows: report.rows,
            covered_bytes: report.covered_bytes,
            findings: findings
                .iter()
                .map(|finding| found(&read, finding))
                .collect(),
        })?;
    } else {
        for finding in &findings {
            let name = finding.start.and_then(|start| read.name(start));
            let name = name.map_or_else(String::new, |name| format!(" <{}>", name.name));
            output::line(&format!("{finding}{name}"));
        }
        output::line(&format!(
            "{} functions, {} rows, {} bytes of code: {} errors, {} warnings",
            report.functions, report.rows, report.covered_bytes, report.errors, report.warnings
        ));
    }
    Ok(if report.errors > 0 {
        ExitCode::from(ERRORS)
    } else {
        ExitCode::SUCCESS
    })
}

fn found<'a>(read: &'a Input, finding: &Finding) -> Found<'a> {
    let function = finding.start.and_then(|start| read.name(start));
    Found {
        severity: match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        code: finding.code.name(),
        meaning: finding.code.meaning(),
        fde: finding.fde,
        start: finding.start,
        function: function.map(|function| function.name.as_str()),
        row: finding.row,
        value: finding.value,
    }
}
