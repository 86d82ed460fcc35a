//! Damaged input for everything that parses.
//!
//! A *target* takes bytes and must not panic, read outside of them, or take more memory than they
//! justify. [`TARGETS`] lists all; each has *seeds*, good input that is damaged a little
//! ([`Mutator`]): random bytes would end at the first magic number.
//!
//! Two runners use them: the program `fuzz`, with a fixed sequence of inputs for the test command,
//! and cargo-fuzz (folder `cargo-fuzz/`), which looks for inputs that reach new code.

mod elf_seeds;
mod initramfs;
mod livepatch;
mod logs;
mod mutator;
mod receiver;
mod recorded;
mod rng;
mod run;
mod sframe;
mod sframe_walk;
mod sockets;
mod symbols;
mod targets;

pub use mutator::Mutator;
pub use run::{Plan, run};
pub use targets::{TARGETS, Target, parse};
