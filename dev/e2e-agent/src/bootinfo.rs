//! What is known about this boot, and how process 1 hands it to the worker.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;
use e2e_protocol::{BootedBy, Hello};
use rustix::time::{ClockId, clock_gettime};

use crate::platform::Platform;

/// Argument that makes the program the worker; the six facts of process 1 follow it.
const WORKER_MARK: &str = "--worker";

/// Argument of the program where something else is process 1 and starts it as a service.
pub(crate) const SERVICE_MARK: &str = "--service";
/// The kernel's own name of this boot: an agent that is started again must not look like another boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// `struct boot_params` as the boot loader filled it in (`Documentation/ABI/testing/sysfs-kernel-boot_params`).
const BOOT_PARAMS: &str = "/sys/kernel/boot_params/data";
/// Offset of `hdr.type_of_loader` in it (`Documentation/arch/x86/boot.rst`, v7.3).
const TYPE_OF_LOADER: u64 = 0x210;
/// What `kexec_file_load` puts there (`arch/x86/kernel/kexec-bzimage64.c`, v7.3: `0x0D << 4`).
const LOADER_KEXEC: u8 = 0xD0;

/// The moment at which process 1 began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    tsc: Option<u64>,
    uptime_ms: u64,
}

impl Start {
    /// Reads the clocks; to be called before anything else.
    pub(crate) fn read() -> Self {
        Self {
            tsc: clock_sys::tsc(),
            uptime_ms: uptime_ms(),
        }
    }
}

/// Facts that process 1 finds and the worker tells the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BootInfo {
    /// Random name of this boot. Not the kernel's own: that needs sysctl, which a small kernel
    /// may not have.
    pub(crate) boot_id: String,
    /// The time stamp counter when process 1 began.
    pub(crate) tsc: Option<u64>,
    /// Age of the kernel when process 1 began, in milliseconds.
    pub(crate) uptime_ms: u64,
    /// How often the worker was started, from 1.
    pub(crate) worker: u32,
    /// What the agent runs on.
    pub(crate) platform: Platform,
    /// What started this kernel.
    pub(crate) booted_by: BootedBy,
}

impl BootInfo {
    /// Makes the facts of a boot whose process 1 began at `start`.
    pub(crate) fn new(start: Start, platform: Platform) -> anyhow::Result<Self> {
        let mut random = [0; 16];
        fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .context("read /dev/urandom")?;
        Ok(Self {
            boot_id: format!("{:032x}", u128::from_le_bytes(random)),
            tsc: start.tsc,
            uptime_ms: start.uptime_ms,
            worker: 1,
            platform,
            booted_by: platform.booted_by()?,
        })
    }

    /// Makes the facts of a service that began at `start`; its process id tells it from the one before.
    pub(crate) fn of_service(start: Start) -> anyhow::Result<Self> {
        let boot_id = fs::read_to_string(BOOT_ID).with_context(|| format!("read {BOOT_ID}"))?;
        Ok(Self {
            boot_id: boot_id.trim().to_owned(),
            worker: std::process::id(),
            ..Self::new(start, Platform::Virtual)?
        })
    }

    /// The arguments that carry this to the worker.
    pub(crate) fn to_arguments(&self) -> [String; 7] {
        [
            WORKER_MARK.to_owned(),
            self.boot_id.clone(),
            self.tsc.map(|ticks| ticks.to_string()).unwrap_or_default(),
            self.uptime_ms.to_string(),
            self.worker.to_string(),
            self.platform.name().to_owned(),
            name_of(self.booted_by).to_owned(),
        ]
    }

    /// What [`Self::to_arguments`] made; `None` if these are other arguments.
    pub(crate) fn from_arguments(arguments: &[String]) -> Option<Self> {
        let [mark, boot_id, tsc, uptime_ms, worker, platform, booted_by] = arguments else {
            return None;
        };
        (mark == WORKER_MARK).then_some(())?;
        Some(Self {
            boot_id: boot_id.clone(),
            tsc: tsc.parse().ok(),
            uptime_ms: uptime_ms.parse().ok()?,
            worker: worker.parse().ok()?,
            platform: Platform::from_name(platform)?,
            booted_by: [BootedBy::Machine, BootedBy::Kexec]
                .into_iter()
                .find(|by| name_of(*by) == booted_by)?,
        })
    }

    /// The hello of this boot.
    pub(crate) fn hello(&self) -> anyhow::Result<Hello> {
        let cmdline = fs::read_to_string("/proc/cmdline").context("read /proc/cmdline")?;
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        Ok(Hello {
            release,
            boot_id: self.boot_id.clone(),
            booted_by: self.booted_by,
            tsc: self.tsc,
            uptime_ms: self.uptime_ms,
            cmdline: cmdline.trim_end().to_owned(),
            worker: self.worker,
        })
    }
}

/// Age of the kernel in milliseconds.
pub(crate) fn uptime_ms() -> u64 {
    let age = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(age.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(age.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanoseconds / 1_000_000
}

const fn name_of(booted_by: BootedBy) -> &'static str {
    match booted_by {
        BootedBy::Machine => "machine",
        BootedBy::Kexec => "kexec",
    }
}

/// Asks a real kernel what loaded it.
pub(crate) fn loaded_by() -> anyhow::Result<BootedBy> {
    let mut loader = [0];
    fs::File::open(BOOT_PARAMS)
        .and_then(|file| file.read_exact_at(&mut loader, TYPE_OF_LOADER))
        .with_context(|| format!("read byte {TYPE_OF_LOADER:#x} of {BOOT_PARAMS}"))?;
    Ok(match loader {
        [LOADER_KEXEC] => BootedBy::Kexec,
        [_] => BootedBy::Machine,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_the_way_to_the_worker() {
        let boot = BootInfo {
            boot_id: "0f".into(),
            tsc: Some(u64::MAX),
            uptime_ms: 1234,
            worker: 3,
            platform: Platform::Emulated,
            booted_by: BootedBy::Kexec,
        };
        assert_eq!(BootInfo::from_arguments(&boot.to_arguments()), Some(boot));
    }

    #[test]
    fn process_one_of_a_boot_is_no_worker() {
        assert_eq!(BootInfo::from_arguments(&["nokaslr".into()]), None);
        let torn = ["--worker", "0f", "7", "x", "1", "virtual", "kexec"].map(String::from);
        assert_eq!(BootInfo::from_arguments(&torn), None);
    }
}
