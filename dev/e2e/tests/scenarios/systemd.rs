//! Live updates on a distribution: Debian with systemd as process 1.

mod guest;

use guest::SystemdGuest;

use crate::harness::{Lab, Scenario};

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("systemd::explore", explore)]
}

fn explore(lab: &Lab) -> anyhow::Result<()> {
    let guest = SystemdGuest::boot(lab)?;
    let script = std::fs::read_to_string("/tmp/sdg/explore")?;
    for line in script.lines() {
        let o = guest.run(line)?;
        eprintln!("$ {line}\n{}\n", o.output());
    }
    Ok(guest.machine.poweroff()?)
}
