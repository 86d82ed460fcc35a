//! A mounted ext4 file system is tuned by `luoctl fs tune`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::artifacts::{self, Missing};
use e2e::{Machine, Series};
use initrd::Permissions;

use crate::harness::{Lab, Scenario};
use crate::update::{printed, stdout};

/// Bytes of the file system.
const BYTES: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let per_series = Series::ALL.into_iter().map(|series| {
        let name = format!("tuning::{}::a_mounted_file_system_is_tuned", series.name());
        Scenario::new(name, move |lab| tuned(lab, series))
    });
    per_series.collect()
}

/// A file system in a file, made here.
fn file_system(lab: &Lab) -> anyhow::Result<Vec<u8>> {
    let path = lab.folder().join("ext4.img");
    std::fs::File::create(&path)?.set_len(BYTES)?;
    let made = Command::new("mkfs.ext4").arg("-q").arg(&path).status();
    let made = made.map_err(|error| Missing {
        what: format!("mkfs.ext4 ({error})"),
        remedy: "install the package e2fsprogs".to_owned(),
    })?;
    ensure!(made.success(), "mkfs.ext4: {made}");
    let bytes = std::fs::read(&path)?;
    std::fs::remove_file(&path)?;
    Ok(bytes)
}

fn luoctl(machine: &Machine, words: &str) -> anyhow::Result<(Option<i32>, String)> {
    let outcome = machine.run(["/bin/luoctl"].into_iter().chain(words.split(' ')))?;
    Ok((outcome.code(), outcome.output()))
}

fn tuned(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = lab.kernel(series)?;
    let mut image = lab.image_with_client()?;
    image.program(&artifacts::guest_program("luoctl")?)?;
    image.bytes("/ext4.img", Permissions::PRIVATE, &file_system(lab)?)?;
    let machine = lab.machine(&kernel, image)?.boot()?;
    machine.spawn("loop", ["/bin/e2e-client", "loop", "/ext4.img"])?;
    let log = machine.wait_log("loop", "device /dev/loop", PATIENCE)?;
    let device = log.lines().find_map(|line| line.strip_prefix("device "));
    let device = device.context("no device")?.trim().to_owned();
    let (code, output) = luoctl(
        &machine,
        &format!("mount upgrade /tmp {device} --type ext4"),
    )?;
    ensure!(code == Some(0), "{output}");

    let set = "--set mount-options=nodelalloc,commit=20 --set reserved-uid=100000";
    let (code, output) = luoctl(&machine, &format!("fs tune /tmp {set}"))?;
    ensure!(code == Some(0), "{output}");
    // On 7.2 this would wipe the mount options.
    for words in [
        "fs tune /tmp --set errors=panic --json",
        "fs tune /tmp --json",
    ] {
        let (code, output) = luoctl(&machine, words)?;
        ensure!(code == Some(0), "{output}");
        printed(&["fs", "tune"], &stdout(&output))?;
    }
    let (_, output) = luoctl(&machine, "fs tune /tmp")?;
    for line in ["errors             panic", "nodelalloc,commit=20", "100000"] {
        ensure!(output.contains(line), "{output}");
    }
    for (words, exit_code, said) in [
        ("/tmp --set casefold", 2, "the kernel crashes over that"),
        (
            "/tmp --set mount-options=wrong",
            2,
            "Unknown parameter 'wrong'",
        ),
        (
            "/tmp --set reserved-blocks=999999",
            2,
            "at most half of them",
        ),
        ("/proc", 16, "it is no ext4"),
    ] {
        let (code, output) = luoctl(&machine, &format!("fs tune {words}"))?;
        ensure!(
            code == Some(exit_code) && output.contains(said),
            "{words}: {output}"
        );
    }
    Ok(machine.poweroff()?)
}
