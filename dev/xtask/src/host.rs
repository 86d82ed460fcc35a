//! A guest machine that stands for a host under update: kernels, programs, services.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::artifacts::{self, Kernel};
use e2e::protocol::{Autostart, Hello, When};
use e2e::{Command, Initramfs, Machine, Series};
use initrd::Permissions;
use kernel_build::{Freshness, build_series};
use serde_json::Value;

use crate::guest;
use crate::prerequisites::{self, Purpose};
use crate::workspace::Workspace;

/// Longest jump, in emulation on a busy machine.
const JUMP_PATIENCE: Duration = Duration::from_secs(180);
/// Where the next kernel is in the guest.
pub(crate) const NEXT_KERNEL: &str = "/boot/next";
/// Where the kernel's own test programs are in the guest.
const SELFTESTS: &str = "/selftests";

/// The kernels of an update.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// The one that is updated.
    pub(crate) before: Kernel,
    /// The one it is updated to.
    pub(crate) after: Kernel,
}

impl Kernels {
    /// Linux 7.2.x and 7.3.x, built if need be.
    pub(crate) fn build() -> Result<Self> {
        if Series::ALL
            .iter()
            .any(|series| artifacts::kernel(*series).is_err())
        {
            prerequisites::ensure(&[Purpose::Kernel])?;
        }
        for series in Series::ALL {
            build_series(series, Freshness::Cached).with_context(|| format!("kernel {series}"))?;
        }
        Ok(Self {
            before: artifacts::kernel(Series::V7_2)?,
            after: artifacts::kernel(Series::V7_3)?,
        })
    }
}

/// A service to start at boot.
pub(crate) fn service(name: &str, when: When, command: &str) -> Autostart {
    Autostart {
        name: name.to_owned(),
        argv: command.split(' ').map(ToOwned::to_owned).collect(),
        env: Vec::new(),
        uid: None,
        gid: None,
        when,
    }
}

/// A host under update.
#[derive(Debug)]
pub(crate) struct Host {
    /// The machine.
    pub(crate) machine: Machine,
    after: Kernel,
}

impl Host {
    /// Boots a machine with `memory_mib` of memory, every guest program and the next kernel; its logs go to `logs`.
    pub(crate) fn boot(
        kernels: &Kernels,
        services: &[Autostart],
        memory_mib: u32,
        logs: &Path,
    ) -> Result<Self> {
        let image = image(kernels, services)?;
        if logs.exists() {
            fs::remove_dir_all(logs).with_context(|| logs.display().to_string())?;
        }
        fs::create_dir_all(logs).with_context(|| logs.display().to_string())?;
        let file = image.write_to(&logs.join("initramfs.cpio"))?;
        let machine = Machine::builder(&kernels.before.image, &file, logs)
            .memory_mib(memory_mib)
            .boot();
        // QEMU has read it whole; made of known parts, it is not worth its space.
        fs::remove_file(&file).with_context(|| file.display().to_string())?;
        Ok(Self {
            machine: machine?,
            after: kernels.after.clone(),
        })
    }

    /// Runs a program to its success and gives what it printed.
    pub(crate) fn run(&self, command: &str, patience: Duration) -> Result<String> {
        let command = Command::new(command.split(' ')).timeout(patience);
        Ok(self.machine.run(command)?.success()?.stdout())
    }

    /// Runs a program that jumps to the next kernel.
    pub(crate) fn jump(&self, command: &str) -> Result<Hello> {
        let hello = self.machine.jump(command.split(' '), JUMP_PATIENCE)?;
        let wanted = &self.after.release;
        ensure!(
            hello.release == *wanted,
            "Linux {} runs, not {wanted}",
            hello.release
        );
        Ok(hello)
    }

    /// Updates with `luoctl update`.
    pub(crate) fn update(&self) -> Result<Hello> {
        self.jump(&format!("/bin/{UPDATE}"))
    }

    /// `luoctl --json WORD`, parsed.
    pub(crate) fn luoctl(&self, word: &str) -> Result<Value> {
        let text = self.run(&format!("/bin/luoctl --json {word}"), JUMP_PATIENCE)?;
        serde_json::from_str(&text).with_context(|| format!("luoctl {word} printed: {text}"))
    }
}

/// The command of an operator.
pub(crate) const UPDATE: &str =
    "luoctl update --kernel /boot/next --initrd /sys/firmware/initrd --reuse-cmdline";

fn image(kernels: &Kernels, services: &[Autostart]) -> Result<Initramfs> {
    let program = |name: &str| artifacts::guest_program(name);
    let mut image = Initramfs::with_agent(&program("e2e-agent")?)?;
    for name in ["luod", "luoctl", "kvcache", "kvcache-load", "e2e-client"] {
        image.program(&program(name)?)?;
    }
    image.file(&kernels.after.image, NEXT_KERNEL, Permissions::DATA)?;
    let selftest = artifacts::selftests(Series::V7_2)?.join("luo_kexec_simple");
    let path = format!("{SELFTESTS}/luo_kexec_simple");
    image.file(&selftest, &path, Permissions::PROGRAM)?;
    image.autostart(services)?;
    Ok(image)
}

/// Makes sure that there is QEMU, and builds the guest programs; the folder of logs is the result.
pub(crate) fn prepare(workspace: &Workspace) -> Result<PathBuf> {
    prerequisites::ensure(&[Purpose::Machine])?;
    guest::guest_binaries(workspace)?;
    Ok(workspace.target.join("xtask-logs"))
}
