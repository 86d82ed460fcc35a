//! Writing to the terminal: the one place that does.
#![expect(clippy::print_stderr, reason = "a command line tool prints")]

use std::io::{Write as _, stdout};

use serde::Serialize;
use serde_json::json;

use crate::cli::Cli;
use crate::failure::Failure;

/// Prints text as it is.
pub(crate) fn text(text: &str) {
    line(text.trim_end());
}

/// Prints a value as JSON; indented for people, one line for streams.
pub(crate) fn json(value: &impl Serialize, layout: Layout) {
    let text = match layout {
        Layout::Indented => serde_json::to_string_pretty(value),
        Layout::Line => serde_json::to_string(value),
    };
    match text {
        Ok(text) => line(&text),
        Err(error) => eprintln!("error: the answer cannot be written as JSON: {error}"),
    }
}

/// Who closes the pipe has read enough.
fn line(text: &str) {
    let _closed = writeln!(stdout(), "{text}");
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    Indented,
    Line,
}

/// Prints a failure: for people on standard error, as JSON also on standard output.
pub(crate) fn failure(cli: &Cli, failure: &Failure) {
    if cli.json {
        let Failure {
            exit_code,
            kind,
            message,
            hint,
        } = failure;
        let value = json!({
            "error": { "kind": kind, "message": message, "hint": hint, "exit_code": exit_code }
        });
        json(&value, Layout::Line);
    }
    eprintln!("error: {}", failure.message);
    if !failure.hint.is_empty() {
        eprintln!("  hint: {}", failure.hint);
    }
}
