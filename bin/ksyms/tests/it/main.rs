//! The program as its user sees it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;
