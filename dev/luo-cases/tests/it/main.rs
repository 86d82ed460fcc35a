//! Programs on the emulated machine: our cases, the kernel's own tests, and what the machine itself
//! is to do.
#![expect(
    clippy::unwrap_used,
    reason = "a test; clippy sees through #[cfg(test)] only"
)]

mod cases;
mod emulator;
mod injections;
mod luod;
mod machine;
mod selftests;
mod states;
