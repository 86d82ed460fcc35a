//! Checks that the check fails when it should, and that it passes on a real tree if one is named.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they skip"
)]

mod doctored;
mod real_tree;
