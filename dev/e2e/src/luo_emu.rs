//! The `luo-emu` process of one machine.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::error::Error;

/// Each generation has namespaces of its own, as each boot has mounts, processes and interfaces of
/// its own; `unshare` is in util-linux.
const NAMESPACES: [&str; 8] = [
    "unshare",
    "--mount",
    "--pid",
    "--net",
    "--ipc",
    "--fork",
    "--kill-child",
    "--",
];
/// It stands for kernels that have these defects: then a program gets the same answers.
const DEFECTS: [&str; 2] = ["--like", "7.3.4"];
/// Time between two looks at whether it runs.
const PAUSE: Duration = Duration::from_millis(2);

/// Whether this host gives a machine what it needs; otherwise the words of what it refused.
pub(crate) fn probe() -> Result<(), String> {
    static PROBED: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let words = NAMESPACES.iter().skip(1);
        let output = command
            .args(words)
            .args(["mount", "-t", "proc", "proc", "/proc"])
            .output()
            .map_err(|error| format!("unshare: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    };
    PROBED.get_or_init(probe).clone()
}

/// What an emulated machine takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulation {
    /// The program `luo-emu`.
    pub luo_emu: PathBuf,
    /// The agent, linked statically.
    pub agent: PathBuf,
    /// What `uname -r` says until a jump to a kernel that has another release.
    pub release: String,
}

/// A running `luo-emu`; killed when dropped, and every process on it with it.
#[derive(Debug)]
pub(crate) struct LuoEmu {
    child: Child,
    log_folder: PathBuf,
    /// Where each generation mounts its root.
    _root: TempDir,
}

impl LuoEmu {
    /// Starts the machine and gives the host's end of the conversation, which lasts as long as the
    /// machine: every generation has the same streams. Its logs go to `log_folder`, which exists.
    pub(crate) fn start(
        emulation: &Emulation,
        initramfs: &Path,
        memory_mib: u32,
        log_folder: &Path,
    ) -> Result<(Self, UnixStream), Error> {
        let root = TempDir::new().map_err(Error::host("make a folder in", std::env::temp_dir()))?;
        let (ours, theirs) =
            UnixStream::pair().map_err(Error::host("make sockets for", log_folder))?;
        let create = |name: &str| {
            let path = log_folder.join(name);
            File::create(&path).map_err(Error::host("create", path))
        };
        let mut command = Command::new(&emulation.luo_emu);
        command
            .args(["run", "--release", &emulation.release])
            .args(DEFECTS)
            .arg(format!("--memory={memory_mib}M"));
        if !rustix::process::geteuid().is_root() {
            command.arg("--root");
        }
        command
            .arg("--")
            .args(NAMESPACES)
            .arg(&emulation.agent)
            .arg("--emulated")
            .arg(initramfs)
            .arg(root.path());
        let path = log_folder.join("command");
        fs::write(&path, format!("{command:?}\n")).map_err(Error::host("write", path))?;
        let child = command
            .stdin(OwnedFd::from(theirs))
            .stdout(create("agent.log")?)
            .stderr(create("luo-emu.log")?)
            .spawn()
            .map_err(Error::host("start", &emulation.luo_emu))?;
        let machine = Self {
            child,
            log_folder: log_folder.to_owned(),
            _root: root,
        };
        Ok((machine, ours))
    }

    /// Its messages, and those of what it starts.
    pub(crate) fn own_log(&self) -> PathBuf {
        self.log_folder.join("luo-emu.log")
    }

    /// Waits for its end; `None` if `patience` was not enough.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < patience => thread::sleep(PAUSE),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for LuoEmu {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{Error, Machine};

    /// Boots a machine of which `luo-emu` is this script.
    fn boot(script: &str) -> Error {
        let folder = tempfile::tempdir().unwrap();
        let luo_emu = folder.path().join("luo-emu");
        fs::write(&luo_emu, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&luo_emu, Permissions::from_mode(0o755)).unwrap();
        let emulation = Emulation {
            luo_emu,
            agent: "/agent".into(),
            release: "7.3.4".to_owned(),
        };
        let logs = folder.path().join("logs");
        let machine = Machine::builder("kernel".as_ref(), "image".as_ref(), &logs);
        machine.emulated(emulation).boot().unwrap_err()
    }

    #[test]
    fn end_of_luo_emu_is_told_with_its_words() {
        let error = boot("echo \"no way: $*\" >&2; exit 125");
        let Error::LuoEmuEnded { status, stderr } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(status.code(), Some(125));
        assert!(
            stderr.starts_with("no way: run --release 7.3.4"),
            "{stderr}"
        );
        assert!(stderr.contains("/agent --emulated image "), "{stderr}");
    }

    #[test]
    fn panic_of_an_emulated_kernel_is_told_as_one() {
        let line = "luo-emu: kernel panic in generation 2: LUO";
        let error = boot(&format!("echo '{line}' >&2; exit 125"));
        assert!(
            matches!(&error, Error::KernelPanic { line: told } if told == line),
            "{error:?}"
        );
    }
}
