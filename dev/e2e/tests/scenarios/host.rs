//! A guest with luod: what its operator does, and what must hold after a refusal.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use e2e::protocol::{Autostart, When};
use e2e::{Command, Initramfs, Machine, Outcome, Series, artifacts};
use serde_json::Value;

use crate::harness::{Lab, guest_kernel};
use crate::platform::Platform;
use crate::update;

/// Longest wait for something a service or luod does.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest refused update, with the copies of kernel and initrd, in emulation on a busy host.
const UPDATE_PATIENCE: Duration = Duration::from_secs(120);
const SIGKILL: i32 = 9;

/// A machine with luod, and the log its agent writes to the host.
pub(crate) struct Host {
    pub(crate) machine: Machine,
    pub(crate) platform: Platform,
    agent_log: PathBuf,
}

impl Host {
    /// Boots `kernel` with luod and `services`, which start by themselves at the boots named.
    pub(crate) fn boot(
        lab: &Lab,
        kernel: Series,
        services: &[(&str, When, &str)],
    ) -> anyhow::Result<Self> {
        Self::boot_with(lab, kernel, services, "")
    }

    /// Boots `kernel` with luod and what is added to the image.
    pub(crate) fn boot_adding(
        lab: &Lab,
        kernel: Series,
        add: impl FnOnce(&mut Initramfs) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut image = lab.image_with_client()?;
        add(&mut image)?;
        Self::boot_image(lab, kernel, image, &[], "")
    }

    /// Boots `kernel` with luod, services, and what is added to the image.
    pub(crate) fn boot_adding_services(
        lab: &Lab,
        kernel: Series,
        services: &[(&str, When, &str)],
        add: impl FnOnce(&mut Initramfs) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut image = lab.image_with_client()?;
        add(&mut image)?;
        Self::boot_image(lab, kernel, image, services, "")
    }

    /// The same with more words on the kernel's command line.
    pub(crate) fn boot_with(
        lab: &Lab,
        kernel: Series,
        services: &[(&str, When, &str)],
        cmdline: &str,
    ) -> anyhow::Result<Self> {
        Self::boot_image(lab, kernel, lab.image_with_client()?, services, cmdline)
    }

    fn boot_image(
        lab: &Lab,
        kernel: Series,
        mut image: Initramfs,
        services: &[(&str, When, &str)],
        cmdline: &str,
    ) -> anyhow::Result<Self> {
        image.program(&artifacts::guest_program("luod")?)?;
        image.program(&artifacts::guest_program("luoctl")?)?;
        let luod = [("luod", When::Always, "/bin/luod")];
        let all: Vec<_> = luod.iter().chain(services).map(autostart).collect();
        image.autostart(&all)?;
        let kernel = lab.kernel(kernel)?;
        let machine = lab.machine(&kernel, image)?.memory_mib(2048);
        let machine = machine.append(cmdline).boot()?;
        let agent_log = lab.folder().join("agent.log");
        let host = Self {
            machine,
            platform: lab.platform(),
            agent_log,
        };
        host.wait_luod()?;
        Ok(host)
    }

    /// Waits until luod answers.
    pub(crate) fn wait_luod(&self) -> anyhow::Result<()> {
        self.until("luod answers", || {
            Ok(self.luoctl("status")?.code() == Some(0))
        })
    }

    /// Kills luod and starts it again.
    pub(crate) fn restart_luod(&self) -> anyhow::Result<()> {
        self.kill("luod")?;
        self.machine.spawn("luod", ["/bin/luod"])?;
        self.wait_luod()
    }

    /// Kills the holder and waits until luod has another.
    pub(crate) fn replace_holder(&self) -> anyhow::Result<()> {
        let pid = |status: &Value| status["holder_pid"].as_u64();
        let old = pid(&self.json("status")?).context("no holder")?;
        self.machine.signal_pid(u32::try_from(old)?, SIGKILL)?;
        self.until("another holder", || {
            Ok(pid(&self.json("status")?).is_some_and(|new| new != old))
        })
    }

    /// Kills a service and waits for its end.
    pub(crate) fn kill(&self, service: &str) -> anyhow::Result<()> {
        self.machine.signal(service, SIGKILL)?;
        self.machine.wait(service, PATIENCE)?;
        Ok(())
    }

    /// Starts a program of one line as a service of the guest.
    pub(crate) fn spawn(&self, service: &str, line: &str) -> anyhow::Result<u32> {
        Ok(self.machine.spawn(service, line.split(' '))?)
    }

    /// Runs `luoctl` with the words of one line.
    pub(crate) fn luoctl(&self, line: &str) -> anyhow::Result<Outcome> {
        let argv = ["/bin/luoctl"].into_iter().chain(line.split(' '));
        Ok(self
            .machine
            .run(Command::new(argv).timeout(UPDATE_PATIENCE))?)
    }

    /// Runs `luoctl`, which must succeed.
    pub(crate) fn done(&self, line: &str) -> anyhow::Result<()> {
        self.luoctl(line)?.success()?;
        Ok(())
    }

    /// `luoctl --json …`, parsed.
    pub(crate) fn json(&self, line: &str) -> anyhow::Result<Value> {
        let words: Vec<_> = line.split(' ').collect();
        update::luoctl(&self.machine, &words)
    }

    /// Runs `luoctl`, which must end with `code` and say each of `parts`.
    pub(crate) fn refused(&self, line: &str, code: i32, parts: &[&str]) -> anyhow::Result<()> {
        check_refusal(&self.luoctl(line)?, code, parts)
    }

    /// Updates to `kernel`; it must run afterwards.
    pub(crate) fn update(&self, kernel: Series) -> anyhow::Result<()> {
        update::update(&self.machine, self.platform, kernel)?;
        self.wait_luod()
    }

    /// The host works as if nothing had happened: no update under way, nothing loaded, and every
    /// one of `services` registered and connected.
    pub(crate) fn check_normal(&self, services: u64) -> anyhow::Result<()> {
        let status = self.json("status")?;
        ensure!(status["phase"] == "normal", "{status:#}");
        ensure!(status["is_image_loaded"] == false, "{status:#}");
        ensure!(status["connected"] == services, "{status:#}");
        let sessions = self.json("sessions")?;
        let all = sessions["services"].as_array().context("no services")?;
        let open = all.iter().filter(|service| !service["session"].is_null());
        ensure!(open.count() == 0, "{sessions:#}");
        Ok(())
    }

    /// Waits until a service's log has `count` lines that end with `end`, and gives the log.
    pub(crate) fn wait_lines(
        &self,
        service: &str,
        end: &str,
        count: usize,
    ) -> anyhow::Result<String> {
        let mut log = String::new();
        let waited = self.until(&format!("{count} lines {end:?} of {service}"), || {
            log = self.machine.wait_log(service, "", PATIENCE)?;
            Ok(log.lines().filter(|line| line.ends_with(end)).count() >= count)
        });
        waited.with_context(|| log.clone())?;
        Ok(log)
    }

    /// The numbers that the service called `name` has told the host after `what`, in all boots.
    pub(crate) fn told(&self, name: &str, what: &str) -> anyhow::Result<Vec<u64>> {
        let bytes = fs::read(&self.agent_log).context("read the agent log")?;
        let text = String::from_utf8_lossy(&bytes);
        let key = format!("{name}: {what} ");
        let number = |line: &str| {
            let (_, rest) = line.split_once(&key)?;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        Ok(text.lines().filter_map(number).collect())
    }

    pub(crate) fn until(
        &self,
        what: &str,
        mut is_so: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        while !is_so()? {
            if start.elapsed() > PATIENCE {
                bail!("waited in vain: {what}");
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// The words of an update to `kernel`, with everything the next kernel needs.
pub(crate) fn update_line(kernel: Series) -> String {
    let kernel = guest_kernel(kernel);
    format!("update --kernel {kernel} --initrd /sys/firmware/initrd --reuse-cmdline")
}

/// A program must have ended with `code` and said each of `parts` on standard error.
pub(crate) fn check_refusal(outcome: &Outcome, code: i32, parts: &[&str]) -> anyhow::Result<()> {
    let (argv, said) = (&outcome.argv, outcome.stderr());
    ensure!(
        outcome.code() == Some(code),
        "{argv:?}: {:?} instead of {code}\n{}",
        outcome.ran.exit,
        outcome.output()
    );
    for part in parts {
        ensure!(
            said.contains(part),
            "{argv:?} does not say {part:?}:\n{said}"
        );
    }
    Ok(())
}

fn autostart(&(name, when, line): &(&str, When, &str)) -> Autostart {
    Autostart {
        name: name.to_owned(),
        argv: line.split(' ').map(ToOwned::to_owned).collect(),
        env: Vec::new(),
        uid: None,
        gid: None,
        when,
    }
}
