//! What can be wrong with a plan, and where.

use std::io;
use std::path::PathBuf;

use kho_abi::memblock::MAX_REGIONS;
use liveupdate_uapi::SessionName;

/// Longest plan that is read.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is too large to be a plan.
    #[error("{} has {found_bytes} bytes, a plan up to {MAX_BYTES}", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its length.
        found_bytes: u64,
    },
    /// What is written at some place is not right.
    #[error("line {line}, column {column}: {problem}")]
    At {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        problem: PlanProblem,
    },
}

/// What is wrong at a place of a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanProblem {
    /// It is no TOML, or not of the kind that is expected there.
    #[error("{0}")]
    Toml(String),
    /// A session's name is taken.
    #[error("there is a session \"{name}\" already")]
    SessionTwice {
        /// Its name.
        name: SessionName,
    },
    /// A token is taken.
    #[error("session \"{session}\" has a file with the token {token:#x} already")]
    TokenTwice {
        /// The session.
        session: SessionName,
        /// The token.
        token: u64,
    },
    /// Nothing says how large a file is.
    #[error("the file has neither content nor a size: give it one, `size = 0` for an empty file")]
    NoContent,
    /// A file has no such position.
    #[error("no file has the position {position}")]
    Position {
        /// The position.
        position: u64,
    },
    /// An FLB's name is empty, too long or taken.
    #[error("an FLB has a name of its own of 1 to 47 bytes without a NUL")]
    FlbName,
    /// A region's label is empty, too long or taken.
    #[error("a region has a label of its own of 1 to 15 bytes without NUL, `/` and blanks")]
    RegionLabel,
    /// A region is not whole pages.
    #[error("a region is whole pages of 4096 bytes; this one has {size} bytes")]
    RegionSize {
        /// Its size.
        size: u64,
    },
    /// More regions than the kernel has room for.
    #[error("the kernel takes {MAX_REGIONS} regions, this is one more")]
    TooManyRegions,
}

/// The line and column of an offset.
pub(crate) fn place(text: &str, at: usize, problem: PlanProblem) -> PlanError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    PlanError::At {
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
        problem,
    }
}
