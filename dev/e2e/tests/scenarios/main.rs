//! Scenarios on real kernels in the guest machine.

mod boot;
mod harness;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut scenarios = Vec::new();
    scenarios.extend(boot::scenarios());
    harness::run(scenarios)
}
