//! Life as process 1: prepare the machine, reap, keep the worker alive.

use std::process::{self, Command};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::bootinfo::{BootInfo, Start};
use crate::emulated::Root;
use crate::platform::Platform;
use crate::{kmsg, loopback, mounts};

/// A worker that ends this often is broken; the machine then stops with a kernel panic, which the
/// host tells apart from silence.
const WORKERS_MAX: u32 = 5;

/// Where the image has this program.
const PROGRAM: &str = "/init";

/// Runs until the worker is beyond help. `start` is when this process began, `root` what an emulated
/// machine is made of.
///
/// # Errors
/// Whatever ends the machine: the return of process 1 panics the kernel.
pub(crate) fn run(start: Start, root: Option<&Root>) -> anyhow::Result<()> {
    ensure!(
        process::id() == 1,
        "e2e-agent is the first process of a guest machine; it is of no use elsewhere"
    );
    let platform = match root {
        None => Platform::Virtual,
        Some(root) => {
            root.enter()?;
            Platform::Emulated
        }
    };
    let missing = mounts::mount_all(platform)?;
    let mut boot = BootInfo::new(start, platform)?;
    for what in missing {
        kmsg::write(&format!("not there: {what}"));
    }
    mounts::raise_open_files(platform)?;
    if let Err(error) = loopback::bring_up() {
        kmsg::write(&format!("no loopback interface: {error:#}"));
    }
    while boot.worker <= WORKERS_MAX {
        let status = run_worker(&boot)?;
        kmsg::write(&format!("worker {} ended: {status:?}", boot.worker));
        boot.worker += 1;
    }
    bail!("the worker ended {WORKERS_MAX} times")
}

/// Starts a worker and reaps every process until that one ends.
fn run_worker(boot: &BootInfo) -> anyhow::Result<WaitStatus> {
    let worker = Command::new(PROGRAM)
        .args(boot.to_arguments())
        .env_clear()
        .env("PATH", "/bin")
        .env("HOME", "/")
        .env("RUST_BACKTRACE", "1")
        .spawn()
        .with_context(|| format!("start {PROGRAM} as worker"))?;
    // Not through `worker.wait()`: that would leave the orphans of the machine unreaped.
    let worker = i32::try_from(worker.id()).ok().and_then(Pid::from_raw);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if Some(pid) == worker => return Ok(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the worker"),
        }
    }
}
