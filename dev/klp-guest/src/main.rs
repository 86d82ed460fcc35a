//! First process of a guest that tries livepatch modules.
//!
//! The kernel for livepatching is small and has no virtio, so there is no agent to talk with: what is to be done is a list
//! in the image ([`LIST`]), and each step is answered by lines on the console that start with [`MARK`]:
//!
//! | Step | Answer |
//! |---|---|
//! | `load PATH [PARAMETERS]` | `ok`, or the error of `finit_module` |
//! | `unload NAME` | `ok`, or the error of `delete_module` |
//! | `show PATH` | each line of the file, or the error of reading it |
//! | `put VALUE PATH` | `ok`, or the error of writing it |
//! | `machine` | what the kernel calls the machine, as `uname -m` prints it |
//! | `settle` | `ok` when no livepatch is in transition |
//!
//! Then the machine starts again, which ends QEMU (`-no-reboot`).
#![expect(
    clippy::print_stdout,
    reason = "the console is all there is to talk with"
)]

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, delete_module, finit_module, reboot, uname};

/// What is to be done, a step a line.
const LIST: &str = "/steps";

/// In front of each line of an answer.
const MARK: &str = "@ ";

/// Livepatches that are there, a folder each.
const LIVEPATCHES: &str = "/sys/kernel/livepatch";

/// Longest transition: every task must be seen outside of the functions, and the host may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let ended = run();
    if let Err(error) = ended {
        println!("{MARK}failed: {error:#}");
    }
    println!("{MARK}end");
    // What cannot be restarted stands still, and the host's deadline tells.
    let _stands = reboot(RebootCommand::Restart);
}

fn run() -> Result<()> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(target)?;
        mount(kind, target, kind, MountFlags::empty(), None)
            .with_context(|| format!("mount {target}"))?;
    }
    let list = fs::read_to_string(LIST).context("read the list")?;
    for step in list.lines() {
        println!("{MARK}> {step}");
        match answer(step) {
            Ok(lines) => lines.lines().for_each(|line| println!("{MARK}{line}")),
            Err(error) => println!("{MARK}error: {error:#}"),
        }
    }
    Ok(())
}

fn answer(step: &str) -> Result<String> {
    let mut words = step.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("load"), Some(path), parameters) => {
            let file = fs::File::open(path)?;
            let parameters = CString::new(parameters.unwrap_or_default())?;
            finit_module(&file, &parameters, 0)?;
        }
        (Some("unload"), Some(name), None) => delete_module(&CString::new(name)?, 0)?,
        (Some("show"), Some(path), None) => return Ok(fs::read_to_string(path)?),
        (Some("put"), Some(value), Some(path)) => fs::write(path, value)?,
        (Some("machine"), None, None) => {
            return Ok(uname().machine().to_string_lossy().into_owned());
        }
        (Some("settle"), None, None) => settle()?,
        _ => bail!("a step that is not known"),
    }
    Ok("ok".to_owned())
}

/// Waits until no livepatch is in transition.
fn settle() -> Result<()> {
    let start = Instant::now();
    while in_transition()? {
        if start.elapsed() > PATIENCE {
            bail!("a livepatch is still in transition");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn in_transition() -> Result<bool> {
    if !Path::new(LIVEPATCHES).exists() {
        return Ok(false);
    }
    for patch in fs::read_dir(LIVEPATCHES)? {
        // One that is being taken away may be gone meanwhile.
        let state = fs::read_to_string(patch?.path().join("transition")).unwrap_or_default();
        if state.trim() == "1" {
            return Ok(true);
        }
    }
    Ok(false)
}
