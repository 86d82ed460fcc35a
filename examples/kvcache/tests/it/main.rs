//! The server as clients see it, its memory as the next process sees it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they skip"
)]

mod client;
mod control;
mod kill;
mod load;
mod protocol;
mod redis_tools;
mod reopen;
