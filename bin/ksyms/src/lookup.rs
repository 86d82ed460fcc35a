//! `ksyms lookup`.

use std::io::BufRead as _;

use anyhow::Context as _;
use kernel_symbols::{End, Found, Table};
use serde::Serialize;

use crate::cli::{Cli, LookupArgs};
use crate::failure::{Failure, Outcome};
use crate::{output, sources};

/// Answer for one address.
#[derive(Debug, Serialize)]
struct Answer {
    address: String,
    symbol: Option<Symbol>,
    #[serde(skip)]
    line: String,
}

#[derive(Debug, Serialize)]
struct Symbol {
    name: String,
    object: String,
    kind: char,
    start: String,
    offset_bytes: u64,
    size_bytes: u64,
    /// `symbol`, `region` or `page`; the last is a guess.
    ends_at: &'static str,
    aliases: Vec<String>,
}

pub(crate) fn run(cli: &Cli, args: &LookupArgs) -> Result<Outcome, Failure> {
    let addrs = addresses(&args.addresses)?;
    let tables = sources::load(&args.sources)?;
    let mut answers: Vec<Option<Found<'_>>> = vec![None; addrs.len()];
    for table in &tables {
        for (answer, found) in answers.iter_mut().zip(lookup(table, &addrs)) {
            *answer = answer.or(found);
        }
    }
    let answers: Vec<Answer> = addrs
        .iter()
        .zip(answers)
        .map(|(addr, found)| answer(*addr, found))
        .collect();
    output::print(
        cli,
        &answers,
        answers.iter().map(|answer| answer.line.clone()),
    );
    Ok(if answers.iter().all(|answer| answer.symbol.is_some()) {
        Outcome::Done
    } else {
        Outcome::NotFound
    })
}

/// As fast as the order of the addresses allows.
fn lookup<'t>(table: &'t Table<'_>, addrs: &'t [u64]) -> Vec<Option<Found<'t>>> {
    if addrs.is_sorted() {
        table.lookup_sorted(addrs).collect()
    } else {
        let mut found = Vec::with_capacity(addrs.len());
        table.lookup_many(addrs, |one| found.push(one));
        found
    }
}

fn answer(addr: u64, found: Option<Found<'_>>) -> Answer {
    let address = format!("{addr:016x}");
    let Some(found) = found else {
        let line = format!("{address} -");
        return Answer {
            address,
            symbol: None,
            line,
        };
    };
    let symbol = found.symbol();
    let aliases: Vec<String> = found
        .aliases()
        .map(|alias| alias.name().to_string())
        .collect();
    let kind = symbol.kind().letter();
    let mut line = format!("{address} {kind} {found}");
    if !aliases.is_empty() {
        line = format!("{line} = {}", aliases.join(" = "));
    }
    let symbol = Symbol {
        name: symbol.name().to_string(),
        object: symbol.object().name.to_string(),
        kind,
        start: format!("{:016x}", found.start()),
        offset_bytes: found.offset_bytes(),
        size_bytes: found.size_bytes(),
        ends_at: match found.ends_at() {
            End::Symbol => "symbol",
            End::Region => "region",
            End::Page => "page",
        },
        aliases,
    };
    Answer {
        address,
        symbol: Some(symbol),
        line,
    }
}

/// Reads what was typed; `-` stands for what is in standard input.
fn addresses(typed: &[String]) -> Result<Vec<u64>, Failure> {
    let mut addrs = Vec::new();
    for text in typed {
        if text != "-" {
            addrs.push(address(text)?);
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line.context("read standard input")?;
            if !line.trim().is_empty() {
                addrs.push(address(&line)?);
            }
        }
    }
    Ok(addrs)
}

fn address(text: &str) -> Result<u64, Failure> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    u64::from_str_radix(digits, 16)
        .map_err(|error| Failure::Usage(format!("{text:?} is no hexadecimal address: {error}")))
}
