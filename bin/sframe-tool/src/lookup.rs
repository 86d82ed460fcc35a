//! `sframe lookup`.

use std::process::ExitCode;

use serde::Serialize;
use sframe_unwind::{Abi, Base, CfaRule, Found, Recovery, Section, Unwind};

use crate::cli::LookupArgs;
use crate::failure::Failure;
use crate::input::{Input, Layout};
use crate::output;

/// Exit code when nothing covers an instruction.
const NOT_COVERED: u8 = 6;

#[derive(Debug, Serialize)]
struct Answer<'a> {
    address: u64,
    function: Option<&'a str>,
    is_covered: bool,
    start: Option<u64>,
    is_signal_frame: bool,
    is_outermost: bool,
    cfa: Option<String>,
    ra: Option<String>,
    fp: Option<String>,
    is_ra_signed: bool,
}

pub(crate) fn lookup(args: &LookupArgs) -> Result<ExitCode, Failure> {
    let read = Input::read(&args.input, Layout::OneBehindTheOther)?;
    let section = Section::parse(&read.bytes, read.placement)?;
    let mut code = ExitCode::SUCCESS;
    for address in &args.addresses {
        let found = section.find(*address)?;
        if found.is_none() {
            code = ExitCode::from(NOT_COVERED);
        }
        let answer = answer(&read, &section, *address, found.as_ref());
        if args.json {
            output::json(&answer)?;
        } else {
            output::line(&show(&answer));
        }
    }
    Ok(code)
}

fn answer<'a>(
    read: &'a Input,
    section: &Section<'_>,
    address: u64,
    found: Option<&Found>,
) -> Answer<'a> {
    let abi = section.header().abi;
    let rules = match found.map(|found| found.row.unwind) {
        Some(Unwind::Caller(rules)) => Some(rules),
        _ => None,
    };
    Answer {
        address,
        function: read.name(address).map(|function| function.name.as_str()),
        is_covered: found.is_some(),
        start: found.map(|found| found.fde.start),
        is_signal_frame: found.is_some_and(|found| found.fde.is_signal_frame),
        is_outermost: found.is_some_and(|found| found.row.unwind == Unwind::Outermost),
        cfa: rules.map(|rules| show_cfa(abi, rules.cfa)),
        ra: rules.map(|rules| match (rules.ra, abi) {
            (Recovery::Unchanged, Abi::S390x) => "r14".to_owned(),
            (Recovery::Unchanged, _) => "x30".to_owned(),
            (ra, _) => show_recovery(abi, ra),
        }),
        fp: rules.map(|rules| match rules.fp {
            Recovery::Unchanged => register(abi, Base::Fp),
            fp => show_recovery(abi, fp),
        }),
        is_ra_signed: rules.is_some_and(|rules| rules.is_ra_signed),
    }
}

fn show(answer: &Answer<'_>) -> String {
    let place = match (answer.function, answer.start) {
        (Some(name), _) => format!("{:#x} <{name}>", answer.address),
        (None, Some(start)) => format!("{:#x} <{start:#x}>", answer.address),
        (None, None) => format!("{:#x}", answer.address),
    };
    let rules = match (&answer.cfa, &answer.ra, &answer.fp) {
        (Some(cfa), Some(ra), Some(fp)) => {
            let signed = if answer.is_ra_signed { " (signed)" } else { "" };
            format!("CFA = {cfa}, return address = {ra}{signed}, frame pointer = {fp}")
        }
        _ if answer.is_outermost => "the last frame: the return address is undefined".to_owned(),
        _ => "not covered".to_owned(),
    };
    let signal = if answer.is_signal_frame {
        ", a signal frame"
    } else {
        ""
    };
    format!("{place}: {rules}{signal}")
}

fn register(abi: Abi, base: Base) -> String {
    match (base, abi) {
        (Base::Sp, _) => "sp".to_owned(),
        (Base::Fp, _) => "fp".to_owned(),
        (Base::Register(number), _) if abi.is_aarch64() => format!("x{number}"),
        (Base::Register(number), _) => format!("r{number}"),
    }
}

fn show_cfa(abi: Abi, rule: CfaRule) -> String {
    match rule {
        CfaRule::Offset { base, offset } => format!("{}{offset:+}", register(abi, base)),
        CfaRule::Load { base, offset } => format!("[{}{offset:+}]", register(abi, base)),
    }
}

fn show_recovery(abi: Abi, recovery: Recovery) -> String {
    match recovery {
        Recovery::Unchanged => "unchanged".to_owned(),
        Recovery::Saved(offset) => format!("[CFA{offset:+}]"),
        Recovery::CfaOffset(offset) => format!("CFA{offset:+}"),
        Recovery::Register { base, offset } => format!("{}{offset:+}", register(abi, base)),
        Recovery::RegisterLoad { base, offset } => format!("[{}{offset:+}]", register(abi, base)),
    }
}
