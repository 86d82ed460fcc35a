//! Writing to the terminal: the one place that does.
#![expect(clippy::print_stderr, reason = "a command line tool prints")]

use std::error::Error as _;
use std::io::Write as _;

use serde::Serialize;

use crate::failure::Failure;

/// Prints text as it is. Who reads it may have enough of it (`sframe dump … | head`): that is no failure.
pub(crate) fn text(text: &str) {
    let _closed = std::io::stdout().write_all(text.as_bytes());
}

pub(crate) fn line(line: &str) {
    text(&format!("{line}\n"));
}

/// Prints what is not the result.
pub(crate) fn note(note: &str) {
    eprintln!("{note}");
}

/// Prints a value on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value)?);
    Ok(())
}

pub(crate) fn failure(failure: &Failure) {
    let mut text = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    eprintln!("error: {text}");
    if let Some(hint) = failure.hint() {
        eprintln!("  hint: {hint}");
    }
}
