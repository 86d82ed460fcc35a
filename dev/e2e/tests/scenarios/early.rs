//! luod and critical services start in the initramfs; the root is switched below them, and the luod of the new root
//! takes the place of the one that is there.

use anyhow::ensure;
use e2e::{Initramfs, Series, artifacts};
use initrd::Permissions;

use crate::harness::{Lab, Scenario};
use crate::host::Host;

/// Starts before the root is switched.
const CRITICAL: &str = "/bin/e2e-client service --name critical --item full:4 --item sealed";
/// Starts in the new root.
const LATE: &str = "/bin/e2e-client service --name late --item full:4 --item sealed";
const ITEMS: usize = 2;
const OF_THE_ROOT: &str = "/of-the-root";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let pairs = [(Series::V7_2, Series::V7_3), (Series::V7_3, Series::V7_2)];
    let pairs = pairs.into_iter().map(|(from, to)| {
        let name = format!("early::{}_to_{}", from.name(), to.name());
        Scenario::new(name, move |lab| early(lab, from, to))
    });
    pairs.collect()
}

/// The root file system is part of the image: a mount is made of it.
fn add_root(image: &mut Initramfs) -> anyhow::Result<()> {
    for name in ["luod", "luoctl", "e2e-client"] {
        let program = artifacts::guest_program(name)?;
        image.file(&program, &format!("/next/bin/{name}"), Permissions::PROGRAM)?;
    }
    for folder in ["dev", "proc", "sys", "run", "tmp", "etc", "var"] {
        image.folder(&format!("/next/{folder}"))?;
    }
    let path = format!("/next{OF_THE_ROOT}");
    image.bytes(&path, Permissions::DATA, b"it is the root file system")?;
    Ok(())
}

fn early(lab: &Lab, from: Series, to: Series) -> anyhow::Result<()> {
    let host = Host::boot_adding(lab, from, add_root)?;
    for (name, line) in [("critical", CRITICAL), ("late", LATE)] {
        host.spawn(name, line)?;
        host.wait_lines(name, "filled", ITEMS)?;
    }
    host.update(to)?;

    // In the initramfs: one service goes on, the other is not there yet.
    host.spawn("critical", CRITICAL)?;
    host.wait_lines("critical", "verified, updated", ITEMS)?;
    let status = host.json("status")?;
    ensure!(status["phase"] == "updated", "{status:#}");
    let holder = status["holder_pid"].clone();

    let done = host
        .machine
        .run(["/bin/luoctl", "mount", "upgrade", "/tmp", "/next"])?;
    ensure!(done.code() == Some(0), "{}", done.output());
    let refused = ["mount", "switch-root", "/tmp", "--", "/bin/nothing"];
    let refused = host
        .machine
        .run(["/bin/luoctl"].into_iter().chain(refused))?;
    let output = refused.output();
    ensure!(refused.code() == Some(16), "{output}");
    ensure!(output.contains("the root is what it was"), "{output}");
    host.spawn(
        "init",
        "/bin/luoctl mount switch-root /tmp -- /bin/luod --replace",
    )?;
    host.machine
        .wait("luod", std::time::Duration::from_secs(60))?;
    host.wait_luod()?;

    // The agent has the new root as well, and what it starts from now on.
    let found = host.machine.read_file(OF_THE_ROOT)?;
    ensure!(found == b"it is the root file system", "{found:?}");
    let status = host.json("status")?;
    ensure!(status["holder_pid"] == holder, "{status:#}");
    host.spawn("late", LATE)?;
    host.wait_lines("late", "verified, updated", ITEMS)?;
    // The other one's connection ended with the first luod; what it has is kept all the same.
    host.check_normal(1)?;
    let status = host.json("status")?;
    ensure!(
        status["services"] == 2 && status["items"] == 2 * ITEMS,
        "{status:#}"
    );
    let report = host.json("report")?;
    ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
    Ok(host.machine.poweroff()?)
}
