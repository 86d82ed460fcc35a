//! The kernel's own live-update tests, as proof that the guest and its kernels are right.
//!
//! `tools/testing/selftests/liveupdate` of each kernel's own source: `liveupdate` needs no kexec;
//! the four others run in two stages with a jump between them. The second stage is the program of
//! the first one's kernel, as a service would be: the same binary on both sides.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::protocol::BootedBy;
use e2e::{Command, Machine, Series, artifacts};
use initrd::Permissions;
use kernel_build::JUMP_SELFTESTS;

use crate::harness::{Lab, Scenario, guest_kernel};

/// Tests in `liveupdate.c` of both kernels.
const DEVICE_TESTS: usize = 15;
/// From, to.
const JUMPS: [(Series, Series); 3] = [
    (Series::V7_2, Series::V7_3),
    (Series::V7_3, Series::V7_2),
    (Series::V7_3, Series::V7_3),
];
/// Longest jump in emulation on a busy host.
const JUMP_PATIENCE: Duration = Duration::from_secs(120);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let device = Series::ALL.map(|series| {
        let name = format!("selftests::{}::liveupdate", series.name());
        Scenario::new(name, move |lab| device_tests(lab, series))
    });
    let jumps = JUMPS.map(|(from, to)| {
        let name = format!("selftests::{}_to_{}::kexec", from.name(), to.name());
        Scenario::new(name, move |lab| kexec_tests(lab, from, to))
    });
    device.into_iter().chain(jumps).collect()
}

fn device_tests(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let machine = boot(lab, series)?;
    let outcome = machine.run(["/selftests/liveupdate"])?.success()?;
    let results = outcome.stdout();
    let passed = |line: &&str| line.starts_with("ok ") && !line.contains("# SKIP");
    let count = results.lines().filter(passed).count();
    ensure!(
        count == DEVICE_TESTS,
        "{count} of {DEVICE_TESTS} passed:\n{results}"
    );
    ensure!(!results.contains("not ok"), "{results}");
    Ok(machine.poweroff()?)
}

/// All four programs over one jump: 2000 sessions and 500 files beside the small ones.
fn kexec_tests(lab: &Lab, from: Series, to: Series) -> anyhow::Result<()> {
    let target = artifacts::kernel(to)?;
    let machine = boot(lab, from)?;
    for (program, _) in JUMP_SELFTESTS {
        run_stage(&machine, program, "1")?;
    }
    let kernel = guest_kernel(to);
    let hello = machine.jump(
        ["/bin/e2e-client", "bare-kexec", "--kernel", &kernel],
        JUMP_PATIENCE,
    )?;
    ensure!(
        hello.release == target.release,
        "{} runs, not {}",
        hello.release,
        target.release
    );
    ensure!(hello.booted_by == BootedBy::Kexec, "{hello:?}");
    for (program, passed) in JUMP_SELFTESTS {
        let printed = run_stage(&machine, program, "2")?;
        ensure!(
            printed.contains(passed),
            "{program} did not print {passed:?}:\n{printed}"
        );
    }
    Ok(machine.poweroff()?)
}

fn run_stage(machine: &Machine, program: &str, stage: &str) -> anyhow::Result<String> {
    let path = format!("/selftests/{program}");
    let command = Command::new([path.as_str(), "-s", stage]);
    let outcome = machine.run(command)?.success();
    let outcome = outcome.with_context(|| format!("stage {stage} of {program}"))?;
    Ok(outcome.stdout())
}

fn boot(lab: &Lab, series: Series) -> anyhow::Result<Machine> {
    let kernel = artifacts::kernel(series)?;
    let folder = artifacts::selftests(series)?;
    let mut image = lab.image_with_client()?;
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        image.file(&path, &format!("/selftests/{name}"), Permissions::PROGRAM)?;
    }
    Ok(lab.machine(&kernel, image)?.boot()?)
}
