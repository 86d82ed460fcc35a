//! Failures of the machine itself are told apart: a panic of the guest from the end of QEMU.

use std::fs;

use anyhow::{Context as _, ensure};
use e2e::{Error, Machine, Series, artifacts, logs};

use crate::harness::{Lab, Scenario};

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("failures::panic_is_named_and_logged", panic),
        Scenario::new("failures::end_of_qemu_is_told_with_its_words", end_of_qemu),
    ]
}

fn panic(lab: &Lab) -> anyhow::Result<()> {
    let kernel = artifacts::kernel(Series::V7_3)?;
    // Without a process 1 in the image and without a disk there is nothing to start.
    let builder = lab.machine(&kernel, lab.image()?)?.append("rdinit=/absent");
    let error = builder
        .boot()
        .err()
        .context("a guest without userspace booted")?;
    let Error::KernelPanic { line } = &error else {
        return Err(error).context("not told as a panic");
    };
    ensure!(line.contains("Kernel panic"), "{line}");
    let report = logs::report(lab.folder(), 40);
    ensure!(report.contains("---- serial.log"), "{report}");
    ensure!(report.contains("rdinit=/absent"), "{report}");
    Ok(())
}

fn end_of_qemu(lab: &Lab) -> anyhow::Result<()> {
    let kernel = artifacts::kernel(Series::V7_3)?;
    let absent = lab.folder().join("absent.cpio");
    ensure!(!fs::exists(&absent)?);
    let builder = Machine::builder(&kernel.image, &absent, lab.folder());
    let error = builder
        .boot()
        .err()
        .context("a machine without image booted")?;
    let Error::QemuEnded { stderr, .. } = &error else {
        return Err(error).context("not told as the end of QEMU");
    };
    ensure!(stderr.contains("absent.cpio"), "{stderr}");
    Ok(())
}
