//! Symbols of real kernels and modules, for tests and measurements.
//!
//! * [`Corpus`]: the modules of a Debian kernel, some thousand;
//! * [`ElfBuilder`]: files with what no compiler makes;
//! * [`kallsyms_text()`]: what `/proc/kallsyms` would show with all of them loaded.

mod corpus;
mod elf;
mod text;

pub use corpus::{Corpus, CorpusModule};
pub use elf::{CODE, DATA, ElfBuilder, KLP_RELA, LIVEPATCH};
pub use text::kallsyms_text;
