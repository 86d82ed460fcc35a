//! Why a command failed, with its exit code and what to do.

use std::fmt::Display;
use std::path::Path;

use luod_api::{ApiError, Code, Refusal};

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// See `luoctl --help`.
    pub(crate) exit_code: u8,
    /// Stable name of the kind.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Failure {
    /// Kind of a failure: luod does not answer, or no longer.
    pub(crate) const UNREACHABLE: &'static str = "Unreachable";

    pub(crate) fn new(code: Code, message: impl Display) -> Self {
        Refusal::new(code, message).into()
    }

    /// luod cannot be reached.
    pub(crate) fn unreachable(socket: &Path, error: &dyn std::error::Error) -> Self {
        Self {
            exit_code: 3,
            kind: Self::UNREACHABLE,
            message: format!(
                "luod does not answer at {}: {}",
                socket.display(),
                chain(error)
            ),
            hint: "is it running? start it as root with `luod`, or name its socket with --socket"
                .to_owned(),
        }
    }

    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        hint.clone_into(&mut self.hint);
        self
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            exit_code: refusal.code.exit_code(),
            kind: refusal.code.name(),
            message: refusal.message,
            hint: refusal.hint,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused(refusal) => refusal.into(),
            other => Self {
                exit_code: 3,
                kind: Self::UNREACHABLE,
                message: chain(&other),
                hint: "see luod's log".to_owned(),
            },
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
