//! Writing to the terminal: the one place that does.
#![expect(clippy::print_stderr, reason = "a command line tool prints")]

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::json;

use crate::cli::Cli;
use crate::failure::Failure;

/// Prints what was found: lines for people, or one JSON value. A reader that has gone away is not an error.
pub(crate) fn print<T: Serialize>(cli: &Cli, value: &T, lines: impl Iterator<Item = String>) {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = if cli.json {
        serde_json::to_writer_pretty(&mut out, value)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        let mut lines = lines;
        lines.try_for_each(|line| writeln!(out, "{line}"))
    };
    report(written.and_then(|()| out.flush()));
}

/// Prints lines as they are. A reader that has gone away is not an error.
pub(crate) fn lines(mut lines: impl Iterator<Item = &'static str>) {
    let mut out = io::stdout().lock();
    let written = lines.try_for_each(|line| writeln!(out, "{line}"));
    report(written);
}

fn report(written: io::Result<()>) {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => eprintln!("error: {error}"),
        _ => {}
    }
}

/// Prints a failure: for people on standard error, as JSON also on standard output.
pub(crate) fn failure(cli: &Cli, failure: &Failure) {
    let message = failure.message();
    if cli.json {
        let value = json!({ "error": {
            "kind": failure.kind(),
            "message": message,
            "hint": failure.hint(),
            "exit_code": failure.exit_code(),
        } });
        print(cli, &value, std::iter::empty());
    }
    eprintln!("error: {message}");
    if let Some(hint) = failure.hint() {
        eprintln!("  hint: {hint}");
    }
}
