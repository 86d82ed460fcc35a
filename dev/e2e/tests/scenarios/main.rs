//! Scenarios on real kernels in the guest machine.
//!
//! `cargo xtask test` builds what they need and runs them, `cargo xtask test --only FILTER` some of
//! them. A scenario whose kernels or programs are not built is skipped with the reason; with
//! `E2E_REQUIRE` set, as there, it fails. Logs of the last run: `e2e-logs/` in the target folder.

mod agent;
mod boot;
mod cancel;
mod cases;
mod composed;
mod crashes;
mod direct;
mod failures;
mod handover;
mod harness;
mod host;
mod kvcache;
mod malformed;
mod misbehaviour;
mod planned;
mod refusals;
mod selftests;
mod unfinished;
mod update;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut scenarios = Vec::new();
    scenarios.extend(agent::scenarios());
    scenarios.extend(boot::scenarios());
    scenarios.extend(cancel::scenarios());
    scenarios.extend(cases::scenarios());
    scenarios.extend(composed::scenarios());
    scenarios.extend(crashes::scenarios());
    scenarios.extend(direct::scenarios());
    scenarios.extend(failures::scenarios());
    scenarios.extend(handover::scenarios());
    scenarios.extend(kvcache::scenarios());
    scenarios.extend(malformed::scenarios());
    scenarios.extend(misbehaviour::scenarios());
    scenarios.extend(planned::scenarios());
    scenarios.extend(refusals::scenarios());
    scenarios.extend(selftests::scenarios());
    scenarios.extend(unfinished::scenarios());
    scenarios.extend(update::scenarios());
    harness::run(scenarios)
}
