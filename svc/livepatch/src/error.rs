//! What can go wrong with files.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no object that this program understands.
    #[error("understand {}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// Why.
        source: elf_index::Error,
    },
    /// The checksums of an object cannot be computed.
    #[error("compute checksums of {}", path.display())]
    Checksums {
        /// The file.
        path: PathBuf,
        /// Why.
        source: klp_checksum::Error,
    },
    /// The two objects are not builds of the same sources.
    #[error("compare {} with {}", before.display(), after.display())]
    Correlate {
        /// The file before.
        before: PathBuf,
        /// The file after.
        after: PathBuf,
        /// Why.
        source: klp_diff::FilesDiffer,
    },
    /// The symbols of a linked file cannot be read.
    #[error("read the symbols of {}", path.display())]
    Symbols {
        /// The file.
        path: PathBuf,
        /// Why.
        source: kernel_symbols::module::ElfError,
    },
    /// A file cannot be read, or unpacked.
    #[error(transparent)]
    File(#[from] symbol_files::FileError),
    /// `Module.symvers` cannot be understood.
    #[error("understand {}", path.display())]
    Exports {
        /// The file.
        path: PathBuf,
        /// Why.
        source: klp_diff::WrongLine,
    },
    /// A module cannot be finished.
    #[error("finish the module {}", path.display())]
    Link {
        /// The file.
        path: PathBuf,
        /// Why.
        source: klp_module::LinkError,
    },
    /// A program cannot be started.
    #[error("run {program}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program failed.
    #[error("{what} {}: {program} ended with {status}, and said:\n{said}", on.display())]
    Program {
        /// What it was to do.
        what: &'static str,
        /// With what.
        on: PathBuf,
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// How an object was compiled is not known.
    #[error("tell which module {object} is part of: the command that compiled it does not say")]
    Membership {
        /// The object.
        object: String,
    },
    /// A file cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
