//! The guest itself: it boots, answers and is what the other scenarios take for granted.

use anyhow::ensure;
use e2e::protocol::BootedBy;
use e2e::{Series, artifacts};

use crate::harness::{Lab, Scenario};

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    Series::ALL
        .map(|series| {
            let name = format!("boot::{}::boots_and_answers", series.name());
            Scenario::new(name, move |lab| boots_and_answers(lab, series))
        })
        .into()
}

fn boots_and_answers(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = artifacts::kernel(series)?;
    let machine = lab.machine(&kernel, lab.image()?)?.boot()?;
    let hello = machine.hello();
    ensure!(
        hello.release == kernel.release,
        "{} booted, not {}",
        hello.release,
        kernel.release
    );
    ensure!(hello.booted_by == BootedBy::Machine, "{hello:?}");
    ensure!(hello.cmdline.contains("liveupdate=on"), "{hello:?}");
    ensure!(hello.worker == 1, "the worker crashed: {hello:?}");
    // The agent has no use for its arguments as an ordinary process: it says so and fails.
    let outcome = machine.run(["/init", "again"])?;
    ensure!(outcome.code() == Some(1), "{outcome:?}");
    machine.write_file("/tmp/data", 0o600, &[0, 255, 10, 13])?;
    ensure!(machine.read_file("/tmp/data")? == [0, 255, 10, 13]);
    let refused = machine
        .read_file("/tmp/absent")
        .map_err(|error| error.to_string());
    ensure!(
        refused
            .as_ref()
            .is_err_and(|text| text.contains("/tmp/absent")),
        "{refused:?}"
    );
    let devices = String::from_utf8(machine.read_file("/proc/misc")?)?;
    ensure!(
        devices.lines().any(|line| line.ends_with(" liveupdate")),
        "{devices}"
    );
    Ok(machine.poweroff()?)
}
