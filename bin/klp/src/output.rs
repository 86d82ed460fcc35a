//! What a user sees when something failed.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Error;

/// Exit code of a failure: nothing was decided.
pub(crate) const FAILED: u8 = 1;

/// Prints why the command failed. A reader that went away is no failure.
pub(crate) fn failure(error: &Error, output: &mut dyn Write) -> ExitCode {
    let is_closed = error
        .root_cause()
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe);
    if is_closed {
        return ExitCode::SUCCESS;
    }
    let _closed = writeln!(output, "klp: failed to {error:#}");
    ExitCode::from(FAILED)
}
