//! `ksyms name`.

use serde::Serialize;

use crate::cli::{Cli, NameArgs};
use crate::failure::{Failure, Outcome};
use crate::{output, sources};

/// A symbol, as `name` and `sympos` show it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    address: String,
    kind: char,
    pub(crate) name: String,
    object: String,
    /// Position among those of its name in its object that livepatch sees; 0 when it does not see it.
    position: u64,
}

impl Shown {
    pub(crate) fn new(symbol: kernel_symbols::Symbol<'_>, position: u64) -> Self {
        Self {
            address: format!("{:016x}", symbol.address()),
            kind: symbol.kind().letter(),
            name: symbol.name().to_string(),
            object: symbol.object().name.to_string(),
            position,
        }
    }

    pub(crate) fn line(&self) -> String {
        let Self {
            address,
            kind,
            name,
            object,
            position,
        } = self;
        let position = match position {
            0 => "-".to_owned(),
            position => position.to_string(),
        };
        format!("{address} {kind} {name} [{object}] {position}")
    }
}

pub(crate) fn run(cli: &Cli, args: &NameArgs) -> Result<Outcome, Failure> {
    let tables = sources::load(&args.sources)?;
    let mut shown = Vec::new();
    let mut outcome = Outcome::Done;
    for name in &args.names {
        let before = shown.len();
        for table in &tables {
            for symbol in table.by_name(name) {
                let object = symbol.object().name.to_string();
                let mut positions = table.positions(name, &object);
                let position = positions.position(|it| it.index() == symbol.index());
                let position = position.map_or(0, |before| before as u64 + 1);
                shown.push(Shown::new(symbol, position));
            }
        }
        if shown.len() == before {
            outcome = Outcome::NotFound;
        }
    }
    output::print(cli, &shown, shown.iter().map(Shown::line));
    Ok(outcome)
}
