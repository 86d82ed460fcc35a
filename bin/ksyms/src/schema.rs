//! `ksyms schema`.

use crate::failure::{Failure, Outcome};
use crate::output;

/// Whose schemas are printed.
const PROGRAM: &str = "ksyms";

pub(crate) fn run(name: Option<&str>) -> Result<Outcome, Failure> {
    let Some(name) = name else {
        output::lines(json_schemas::of(PROGRAM).map(|schema| schema.name));
        return Ok(Outcome::Done);
    };
    let none = || {
        Failure::Usage(format!(
            "there is no schema {name:?}; `ksyms schema` lists them"
        ))
    };
    let schema = json_schemas::find(PROGRAM, name).ok_or_else(none)?;
    output::lines(schema.text.lines());
    Ok(Outcome::Done)
}
