//! `ksyms sympos`.

use serde_json::json;

use crate::cli::{Cli, SymposArgs};
use crate::failure::{Failure, Outcome};
use crate::name::Shown;
use crate::{output, sources};

pub(crate) fn run(cli: &Cli, args: &SymposArgs) -> Result<Outcome, Failure> {
    let tables = sources::load(&args.sources)?;
    let (object, name) = (args.object.as_str(), args.name.as_str());
    let Some(table) = tables.iter().find(|table| table.has_object(object)) else {
        return refused(cli, &format!("{object} is in none of the files"));
    };
    if let Some(position) = args.position {
        return match table.sympos(name, object, position) {
            Ok(symbol) => {
                let shown = Shown::new(symbol, position.max(1));
                output::print(cli, &[&shown], [shown.line()].into_iter());
                Ok(Outcome::Done)
            }
            Err(error) => refused(cli, &format!("failed to {error}")),
        };
    }
    let shown: Vec<Shown> = table
        .positions(name, object)
        .zip(1..)
        .map(|(symbol, position)| Shown::new(symbol, position))
        .collect();
    if shown.is_empty() {
        return refused(
            cli,
            &format!("{object} has no symbol {name} that livepatch sees"),
        );
    }
    output::print(cli, &shown, shown.iter().map(Shown::line));
    Ok(Outcome::Done)
}

fn refused(cli: &Cli, why: &str) -> Result<Outcome, Failure> {
    output::print(
        cli,
        &json!({ "refused": why }),
        [why.to_owned()].into_iter(),
    );
    Ok(Outcome::NotFound)
}
