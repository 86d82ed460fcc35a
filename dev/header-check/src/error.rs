//! Why a check could not be made; a check that was made and failed is a [`Report`](crate::Report).

use std::io;
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// Why a check could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tree lacks a header.
    #[error("no {} there: give the top folder of a Linux 7.2 or later source tree", path.display())]
    NotASourceTree {
        /// Header looked for.
        path: PathBuf,
    },
    /// The build folder lacks what a configured build has.
    #[error("no {} there: run 'make prepare' in the build folder or leave it out", path.display())]
    NotABuildDir {
        /// File looked for.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The compiler could not be run.
    #[error("cannot run {program}: install it (Debian package 'gcc')")]
    NoCompiler {
        /// Program tried.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The headers do not compile with the table's names: a structure or a field is gone.
    #[error(
        "headers with pages of {page_bytes} bytes do not have what the table names:\n{diagnostics}"
    )]
    Compile {
        /// Page size of the run.
        page_bytes: usize,
        /// What the compiler said; the file names in it are names of the table.
        diagnostics: String,
    },
    /// The compiler's output has a directive this crate does not know.
    #[error("cannot read line {line} of the compiler's assembly: {text}")]
    Assembly {
        /// Line, from 1.
        line: usize,
        /// Its text.
        text: String,
    },
}
