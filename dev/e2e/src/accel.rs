//! Whether the machine is emulated or runs on the host's processor.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Environment variable that decides: `kvm` or `tcg`. Without it a probe decides.
const VARIABLE: &str = "E2E_ACCEL";
/// A kernel on a working KVM has written to its console long before this.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// How QEMU runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// Software emulation: works everywhere.
    Tcg,
    /// The host's virtualization.
    Kvm,
}

impl Accel {
    /// Decides once per process: what `E2E_ACCEL` says, else KVM if a probe with `kernel` shows
    /// that it really runs a guest. A device that can be opened proves nothing.
    #[must_use]
    pub fn choose(kernel: &Path) -> Self {
        static CHOICE: OnceLock<Accel> = OnceLock::new();
        *CHOICE.get_or_init(|| match std::env::var(VARIABLE).as_deref() {
            Ok("kvm") => Self::Kvm,
            Ok("tcg") => Self::Tcg,
            _ if runs_guest(kernel) => Self::Kvm,
            _ => Self::Tcg,
        })
    }

    /// QEMU's arguments for it.
    #[must_use]
    pub const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
        }
    }
}

/// Boots `kernel` under KVM without a userspace and watches for its first console output.
fn runs_guest(kernel: &Path) -> bool {
    if OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return false;
    }
    let Ok(folder) = tempfile::tempdir() else {
        return false;
    };
    let console = folder.path().join("console");
    let started = Command::new(crate::qemu::PROGRAM)
        .args(Accel::Kvm.arguments())
        .args([
            "-m",
            "256",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-append",
        ])
        .arg("console=ttyS0 earlyprintk=ttyS0 panic=-1")
        .arg("-kernel")
        .arg(kernel)
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut qemu) = started else { return false };
    let has_output = || fs::metadata(&console).is_ok_and(|file| file.len() > 0);
    let start = Instant::now();
    while start.elapsed() < PROBE_PATIENCE && !has_output() {
        if !matches!(qemu.try_wait(), Ok(None)) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    // It may have ended by itself.
    let _ended = qemu.kill();
    let _reaped = qemu.wait();
    has_output()
}
