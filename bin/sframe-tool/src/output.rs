//! Writing to the terminal: the one place that does.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool prints"
)]

use std::error::Error as _;

use serde::Serialize;

use crate::failure::Failure;

/// Prints text as it is.
pub(crate) fn text(text: &str) {
    print!("{text}");
}

pub(crate) fn line(line: &str) {
    println!("{line}");
}

/// Prints what is not the result.
pub(crate) fn note(note: &str) {
    eprintln!("{note}");
}

/// Prints a value on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(value)?);
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
