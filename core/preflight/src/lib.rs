//! Whether the next kernel can take over what this one hands over.
//!
//! [`Target::read`] looks into a kernel, its initial RAM disk and its command line; [`Running`] is what
//! is known of the kernel that runs; [`check`] compares the two. Each [`Finding`] is `ok`, `refused`, or
//! `unknown`: what cannot be found out is never `ok`. A mismatch that is named here is a total loss or a
//! panic after the jump, where nobody can do anything any more.
//!
//! No I/O: the caller reads files.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn
    )
)]

mod boot;
mod cmdline;
mod finding;
mod loading;
mod running;
mod shutdown_log;
mod tags;
mod target;

pub use cmdline::CommandLine;
pub use finding::{Check, Finding, Verdict};
pub use running::{Lockdown, Running, TagsInUse};
pub use shutdown_log::{LogFacts, LogFinding, LogTopic, RamoopsFacts, check_log, check_next_log};
pub use target::{InitrdFacts, KernelFacts, Target};

/// Everything that can be told of `target` on the host that `running` is of.
pub fn check(target: &Target, running: &Running) -> Vec<Finding> {
    let mut findings = vec![loading::image(target, running)];
    findings.extend(tags::all(target, running));
    findings.extend(boot::all(target, running));
    findings.extend(loading::all(target, running));
    findings
}

#[cfg(test)]
mod tests;
