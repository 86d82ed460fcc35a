//! Why a command failed, with its exit code.

use std::path::PathBuf;

use sframe_unwind::write::Unrepresentable;
use sframe_unwind::{Malformed, ParseError};

/// A failed command. Each reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{path}: failed to read", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: failed to write", path = path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: failed to read as ELF", path = path.display())]
    Elf {
        path: PathBuf,
        #[source]
        source: object::Error,
    },
    #[error("{path}: there is no section {name}", path = path.display())]
    NoSection { path: PathBuf, name: String },
    #[error("{path}: relocation at {offset:#x} of the section is of a kind that is not known", path = path.display())]
    Relocation { path: PathBuf, offset: u64 },
    #[error("failed to read SFrame data")]
    Parse(#[from] ParseError),
    #[error("failed to read SFrame data")]
    Malformed(#[from] Malformed),
    #[error("failed to write SFrame data")]
    Unrepresentable(#[from] Unrepresentable),
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// See `sframe --help`.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Json(_) => 1,
            Self::Unrepresentable(_) => 5,
            _ => 3,
        }
    }

    /// What to do.
    pub(crate) const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSection { .. } => {
                Some("assemble with `--gsframe`, or name the section with --section")
            }
            Self::Unrepresentable(_) => {
                Some("--leave-out writes the others and names what is left out")
            }
            Self::Malformed(_) => Some("`sframe verify` says everything that is wrong"),
            _ => None,
        }
    }
}
