//! Programs on the emulated machine: our cases, and what the machine itself is to do. The kernel's own
//! tests are in `kernel_selftests`: they need a kernel's source.
#![expect(
    clippy::unwrap_used,
    reason = "a test; clippy sees through #[cfg(test)] only"
)]

mod cases;
mod emulator;
mod injections;
mod luod;
mod machine;
mod states;
