//! A guest that runs systemd: its disk, and what is asked of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use e2e::artifacts::{self, Missing};
use e2e::{Command, Machine, Outcome, Series};
use serde_json::Value;
use systemd_guest::{Disk, Root, Suite};

use super::units;
use crate::harness::{Lab, guest_kernel};
use crate::host::check_refusal;
use crate::update::printed;

/// Longest boot or shutdown, in emulation on a busy host.
const BOOT_PATIENCE: Duration = Duration::from_secs(240);
/// Longest wait for a service.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Where the guest has the package of luod.
const PACKAGE: &str = "/root/luod.deb";
const PAUSE: Duration = Duration::from_millis(200);
/// Memory of the guest.
const MEMORY_MIB: u32 = 2048;
/// Where the guest's own programs are, and ours.
const PATH: &str = "PATH=/usr/sbin:/usr/bin";

/// A guest that runs systemd.
pub(crate) struct SystemdGuest {
    pub(crate) machine: Machine,
}

impl SystemdGuest {
    /// Boots Linux 7.3 with the disk.
    pub(crate) fn boot(lab: &Lab) -> anyhow::Result<Self> {
        Self::boot_with(lab, "")
    }

    /// The same with more words on the kernel's command line.
    pub(crate) fn boot_with(lab: &Lab, words: &str) -> anyhow::Result<Self> {
        Self::boot_suite(lab, Suite::Sid, words)
    }

    /// The same with the systemd of a suite.
    pub(crate) fn boot_suite(lab: &Lab, suite: Suite, words: &str) -> anyhow::Result<Self> {
        let kernel = lab.kernel(Series::V7_3)?;
        // The builder's image is not used with a disk.
        let builder = Machine::builder(&kernel.image, Path::new(""), lab.folder());
        let builder = builder.with_disk(&disk(lab, suite)?).memory_mib(MEMORY_MIB);
        let machine = builder.append(words).boot_within(BOOT_PATIENCE)?;
        let guest = Self { machine };
        guest.done(&format!("dpkg --install {PACKAGE}"))?;
        // It needs luod, which was not there at the boot.
        guest.done("systemctl start kept.service")?;
        Ok(guest)
    }

    /// `luoctl --json` with the words of one line, parsed.
    pub(crate) fn json(&self, line: &str) -> anyhow::Result<Value> {
        let answer = self.done(&format!("luoctl --json {line}"))?;
        let words: Vec<_> = line.split(' ').collect();
        let mut printed = printed(&words, &answer)?;
        printed.pop().context(answer)
    }

    /// Runs the words of one line, which must end with `code` and say each of `parts`.
    pub(crate) fn refused(&self, line: &str, code: i32, parts: &[&str]) -> anyhow::Result<()> {
        check_refusal(&self.run(line)?, code, parts)
    }

    /// Runs the words of one line, which end with a jump, and waits for the next kernel; what they print. Nothing, when systemd
    /// ended them before they could.
    pub(crate) fn jump(&self, line: &str) -> anyhow::Result<Option<String>> {
        match self.done(line) {
            Ok(said) => {
                self.wait_boot()?;
                Ok(Some(said))
            }
            Err(error) => match error.downcast_ref() {
                Some(e2e::Error::Rebooted { .. }) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Waits for the next kernel.
    fn wait_boot(&self) -> anyhow::Result<()> {
        self.machine.wait_boot(BOOT_PATIENCE)?;
        Ok(())
    }

    /// Runs the words of one line.
    pub(crate) fn run(&self, line: &str) -> anyhow::Result<Outcome> {
        let argv = ["/usr/bin/env", PATH].into_iter().chain(line.split(' '));
        Ok(self
            .machine
            .run(Command::new(argv).timeout(BOOT_PATIENCE))?)
    }

    /// Waits until what the words of a line print has `part` in it.
    pub(crate) fn until(&self, what: &str, line: &str, part: &str) -> anyhow::Result<()> {
        self.wait_output(what, line, |output| output.contains(part))
    }

    /// Waits until what the words of a line print no longer has `part` in it.
    pub(crate) fn gone(&self, what: &str, line: &str, part: &str) -> anyhow::Result<()> {
        self.wait_output(what, line, |output| !output.contains(part))
    }

    fn wait_output(
        &self,
        what: &str,
        line: &str,
        is_so_fn: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let outcome = self.run(line)?;
            if is_so_fn(&outcome.stdout()) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("waited in vain: {what}: {}", outcome.output());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until a service's log of this boot has a line that ends so.
    pub(crate) fn wait_log(&self, service: &str, end: &str) -> anyhow::Result<String> {
        let path = format!("/run/{service}.log");
        let start = Instant::now();
        loop {
            // Not there before the service.
            let log = self.machine.read_file(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            if log.lines().any(|line| line.ends_with(end)) {
                return Ok(log);
            }
            if start.elapsed() > PATIENCE {
                let journal = self.run("journalctl --boot --no-pager --lines=60")?;
                bail!(
                    "waited in vain for {end:?} in {path}: {log}\n{}",
                    journal.stdout()
                );
            }
            thread::sleep(PAUSE);
        }
    }

    /// Runs the words of one line, which must succeed; what they print.
    pub(crate) fn done(&self, line: &str) -> anyhow::Result<String> {
        let outcome = self.run(line)?.success()?;
        Ok(outcome.stdout().trim().to_owned())
    }
}

/// The disk of every guest with a suite: made once in a run of the tests.
fn disk(lab: &Lab, suite: Suite) -> anyhow::Result<PathBuf> {
    static MADE: Mutex<Option<HashMap<Suite, PathBuf>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.get_or_insert_default();
    if let Some(disk) = made.get(&suite) {
        return Ok(disk.clone());
    }
    let root = systemd_guest::locate(suite).map_err(|error| Missing {
        what: "the root file system of a guest with systemd".to_owned(),
        remedy: error.to_string(),
    })?;
    let disk = make_disk(lab, suite, &root).context("make the disk of the guest")?;
    made.insert(suite, disk.clone());
    Ok(disk)
}

fn make_disk(lab: &Lab, suite: Suite, root: &Root) -> anyhow::Result<PathBuf> {
    let name = format!("systemd-guest-{}.ext4", suite.name());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut disk = Disk::copy_of(root, &path)?;
    for program in ["e2e-agent", "e2e-client"] {
        let host = artifacts::guest_program(program)?;
        disk.file(&host, &format!("/usr/bin/{program}"), 0o755);
    }
    disk.file(&artifacts::package()?, PACKAGE, 0o644);
    for (name, content) in units::ALL {
        let path = format!("/etc/systemd/system/{name}");
        disk.bytes(&path, 0o644, content.as_bytes())?;
    }
    for name in units::ENABLED {
        let wants = "/etc/systemd/system/multi-user.target.wants";
        let unit = format!("/etc/systemd/system/{name}");
        disk.symlink(&format!("{wants}/{name}"), &unit);
    }
    for series in Series::ALL {
        let kernel = lab.kernel(series)?;
        disk.file(&kernel.image, &guest_kernel(series), 0o644);
    }
    Ok(disk.finish()?)
}
