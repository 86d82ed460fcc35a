//! Exit codes: those of the program, and as `env` and shells have them where there is none.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitCode;

use emulator::{Error, Exit};

/// The machine itself failed, or its kernel panicked.
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// And the number of the signal.
const KILLED: u8 = 128;

/// Of a run that came to its end.
pub(crate) fn of(exit: &Exit) -> ExitCode {
    let Exit::Program(status) = exit else {
        return ExitCode::SUCCESS;
    };
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(FAILED),
        (None, Some(signal)) => u8::try_from(signal).map_or(FAILED, |it| it.saturating_add(KILLED)),
        (None, None) => FAILED,
    };
    ExitCode::from(code)
}

/// Of a run that did not.
pub(crate) fn of_error(error: &Error) -> ExitCode {
    ExitCode::from(match error {
        Error::Start { source, .. } if source.kind() == ErrorKind::NotFound => NOT_FOUND,
        Error::Start { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            NOT_EXECUTABLE
        }
        _ => FAILED,
    })
}
