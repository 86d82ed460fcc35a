//! What `/dev/liveupdate` of a real kernel answers to everything a program can do: the lines that
//! the emulated machine is held to as well (`dev/luo-cases/tests/`).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{Machine, Series, artifacts};

use crate::harness::{Lab, Scenario, guest_kernel};

const BEFORE: &str = include_str!("../../../luo-cases/expected/before.txt");
const LIFETIMES: &str = include_str!("../../../luo-cases/expected/lifetimes.txt");
const AFTER: &str = include_str!("../../../luo-cases/expected/after.txt");

/// Longest jump in emulation on a busy host.
const JUMP_PATIENCE: Duration = Duration::from_secs(120);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let both = Series::ALL.map(|series| {
        let name = format!("cases::{}", series.name());
        Scenario::new(name, move |lab| cases(lab, series))
    });
    both.into()
}

fn cases(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = lab.kernel(series)?;
    let mut image = lab.image_with_client()?;
    image.program(&artifacts::guest_program("luo-cases")?)?;
    let machine = lab.machine(&kernel, image)?.boot()?;
    compare(&machine, "before", BEFORE)?;
    compare(&machine, "lifetimes", LIFETIMES)?;
    machine.run(["/bin/luo-cases", "threads", "8"])?.success()?;
    machine.run(["/bin/luo-cases", "leave"])?.success()?;
    let target = guest_kernel(series);
    machine.jump(
        ["/bin/e2e-client", "bare-kexec", "--kernel", &target],
        JUMP_PATIENCE,
    )?;
    compare(&machine, "after", AFTER)?;
    Ok(machine.poweroff()?)
}

/// Every line that is not as expected.
fn compare(machine: &Machine, task: &str, expected: &str) -> anyhow::Result<()> {
    let outcome = machine.run(["/bin/luo-cases", task])?.success();
    let printed = outcome.with_context(|| task.to_owned())?.stdout();
    let missing = |from: &str, of: &str| -> Vec<String> {
        let has = |line: &&str| !from.lines().any(|other| other == *line);
        of.lines().filter(has).map(str::to_owned).collect()
    };
    let (new, gone) = (missing(expected, &printed), missing(&printed, expected));
    ensure!(
        printed == expected,
        "{task}: not expected {new:#?}, expected {gone:#?}"
    );
    Ok(())
}
