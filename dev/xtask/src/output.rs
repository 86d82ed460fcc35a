//! Everything this tool says: results on standard output, news and errors on standard error.

use std::io::{self, Write};

/// Writes a line of the result; a reader that went away is no error.
pub(crate) fn line(text: &str) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// Writes a line of news.
pub(crate) fn news(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Writes an error with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    drop(writeln!(io::stderr().lock(), "error: {}", causes(error)));
}

/// Joins an error and its causes into one text, leaving out a cause that its parent already repeats.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
