//! Scenarios on real kernels in the guest machine.

mod agent;
mod boot;
mod failures;
mod harness;
mod selftests;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut scenarios = Vec::new();
    scenarios.extend(agent::scenarios());
    scenarios.extend(boot::scenarios());
    scenarios.extend(failures::scenarios());
    scenarios.extend(selftests::scenarios());
    harness::run(scenarios)
}
