//! How a command ends.

use kernel_symbols::kallsyms::KallsymsError;
use symbol_files::FileError;

/// How a command ended that did what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    NotFound,
    BadPatch,
    OrderChanges,
}

impl Outcome {
    /// See `ksyms --help`.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotFound => 1,
            Self::BadPatch => 5,
            Self::OrderChanges => 6,
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Usage(String),
    File(anyhow::Error),
    Restricted(anyhow::Error),
}

impl Failure {
    /// See `ksyms --help`.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::File(_) => 3,
            Self::Restricted(_) => 4,
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Usage(_) => "Usage",
            Self::File(_) => "File",
            Self::Restricted(_) => "Restricted",
        }
    }

    /// With its causes, on one line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Usage(message) => message.clone(),
            Self::File(error) | Self::Restricted(error) => format!("failed to {error:#}"),
        }
    }

    pub(crate) const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Restricted(_) => Some(
                "run it as root, or lower /proc/sys/kernel/kptr_restrict; or name another file with -f",
            ),
            _ => None,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let is_hidden = error.chain().any(|cause| {
            let text = cause.downcast_ref::<KallsymsError>();
            let file = cause.downcast_ref::<FileError>();
            matches!(text, Some(KallsymsError::Restricted { .. }))
                || matches!(file, Some(FileError::Restricted { .. }))
        });
        if is_hidden {
            Self::Restricted(error)
        } else {
            Self::File(error)
        }
    }
}
