//! The program as its user sees it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod program;
