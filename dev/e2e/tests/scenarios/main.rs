//! Scenarios on real kernels in the guest machine.

mod boot;
mod harness;
mod selftests;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut scenarios = Vec::new();
    scenarios.extend(boot::scenarios());
    scenarios.extend(selftests::scenarios());
    harness::run(scenarios)
}
