//! Symbols of real kernels and modules, for tests and measurements.
//!
//! * [`Corpus`]: the modules of a Debian kernel, some thousand;
//! * [`kallsyms_text()`]: what `/proc/kallsyms` would show with all of them loaded.

mod corpus;
mod text;

pub use corpus::{Corpus, CorpusModule};
pub use text::kallsyms_text;
