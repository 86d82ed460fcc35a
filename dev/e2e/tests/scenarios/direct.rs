//! The client library without luod: a program that is the only user of `/dev/liveupdate`.

use std::time::Duration;

use anyhow::ensure;
use e2e::Series;

use crate::harness::{Lab, Scenario, guest_kernel};
use crate::update::start;

const PATIENCE: Duration = Duration::from_secs(120);
const ITEMS: [&str; 5] = ["empty", "one-byte", "sparse", "position", "sealed"];

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new(
        "direct::keeps_files_over_two_jumps",
        two_jumps,
    )]
}

/// Each kernel verifies what the one before preserved, and preserves it again.
fn two_jumps(lab: &Lab) -> anyhow::Result<()> {
    let mut command = "/bin/e2e-client direct --session direct".to_owned();
    for item in ITEMS {
        command = format!("{command} --item {item}");
    }
    let mut image = lab.image_with_client()?;
    image.autostart(&[start("direct", &command)])?;
    let kernel = lab.kernel(Series::V7_2)?;
    let machine = lab.machine(&kernel, image)?.memory_mib(2048).boot()?;
    let log = machine.wait_log("direct", "preserved", PATIENCE)?;
    ensure!(log.matches(" filled").count() == ITEMS.len(), "{log}");
    for series in [Series::V7_3, Series::V7_2] {
        let kernel = guest_kernel(series);
        machine.jump(
            ["/bin/e2e-client", "bare-kexec", "--kernel", &kernel],
            PATIENCE,
        )?;
        let log = machine.wait_log("direct", "preserved", PATIENCE)?;
        ensure!(
            log.matches(" verified, Updated").count() == ITEMS.len(),
            "{log}"
        );
    }
    Ok(machine.poweroff()?)
}
