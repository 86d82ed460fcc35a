//! The demo on the emulated machine: real luod, luoctl and kvcache, an emulated kernel, no privileges.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::steps::Steps;
use super::{ARENA, Host, KEYS, VALUE_BYTES, counts};
use crate::workspace::{Workspace, cargo};

const PROGRAMS: [&str; 4] = ["luod", "luoctl", "kvcache", "luo-emu"];
/// What `uname -r` says before the jump and after it.
const RELEASES: &str = "7.2.13,7.3.4";
/// Longest time until luod and kvcache answer.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Started in every generation: luod, kvcache, and a shell that does what is written to a pipe.
const BOOT: &str = "luod --runtime-dir . 2>>luod.log & \
    kvcache --service cache --unix kv.sock --memory \"$ARENA\" >>kvcache.log 2>&1 & \
    while read -r command; do $command >>commands.log 2>&1; done <>commands";

/// The machine, and the folder it works in.
pub(super) struct Emulated {
    machine: Child,
    /// Short: it holds sockets.
    folder: TempDir,
    programs: PathBuf,
    logs: PathBuf,
}

/// Builds the programs and starts the machine.
pub(super) fn boot(workspace: &Workspace) -> Result<(Emulated, Steps)> {
    let mut steps = Steps::new(5);
    steps.begin("Programs: luo-emu, luod, luoctl, kvcache");
    let programs = build(workspace)?;
    steps.done("built from this repository");

    steps.begin("Starting the emulated machine as Linux 7.2.13");
    let folder = tempfile::Builder::new().prefix("luo").tempdir()?;
    let logs = workspace.target.join("xtask-logs").join("demo-emulated");
    fs::create_dir_all(&logs)?;
    let made = Command::new("mkfifo")
        .arg(folder.path().join("commands"))
        .status();
    ensure!(made.context("start mkfifo")?.success(), "mkfifo failed");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(programs.clone()).chain(std::env::split_paths(&path));
    let kernel = Command::new(programs.join("luo-emu"))
        .arg("kernel")
        .arg(folder.path().join("next-kernel"))
        .status();
    let kernel = kernel.context("start luo-emu")?;
    ensure!(kernel.success(), "luo-emu kernel failed: {kernel}");
    let machine = Command::new(programs.join("luo-emu"))
        .args([
            "run",
            "--root",
            "--release",
            RELEASES,
            "--",
            "sh",
            "-c",
            BOOT,
        ])
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(paths)?)
        .env("ARENA", ARENA)
        .env("LIVEUPDATE_SOCKET", folder.path().join("liveupdate.sock"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(logs.join("luo-emu.log"))?)
        .spawn()
        .context("start luo-emu")?;
    let mut host = Emulated {
        machine,
        folder,
        programs,
        logs,
    };
    host.wait_log("kvcache.log", "arena new")?;
    let status = host.luoctl("status")?;
    steps.done(&format!("{}; luod and kvcache run", counts(&status)));
    Ok((host, steps))
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo();
    command
        .current_dir(&workspace.root)
        .args(["build", "--quiet", "--release"]);
    for program in PROGRAMS {
        command.args(["-p", program]);
    }
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "cargo build failed: {status}");
    Ok(workspace.target.join("release"))
}

impl Emulated {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env(
            "LIVEUPDATE_SOCKET",
            self.folder.path().join("liveupdate.sock"),
        );
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn output(command: &mut Command) -> Result<String> {
        let output = command.output().with_context(|| format!("{command:?}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("{command:?} ended with {}: {text}{words}", output.status);
        }
        Ok(text)
    }

    fn wait_log(&mut self, name: &str, text: &str) -> Result<()> {
        let begin = Instant::now();
        let path = self.log(name);
        loop {
            let log = fs::read(&path).unwrap_or_default();
            if String::from_utf8_lossy(&log).contains(text) {
                return Ok(());
            }
            let said = fs::read_to_string(self.log("commands.log")).unwrap_or_default();
            if let Some(refusal) = said.lines().find(|line| line.starts_with("error: ")) {
                bail!("a command on the machine failed: {refusal}");
            }
            if let Some(status) = self.machine.try_wait()? {
                bail!("the machine ended: {status}");
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "{text:?} is not in {name} after {PATIENCE:?}"
            );
            thread::sleep(PAUSE);
        }
    }

    /// Has a command run in the machine.
    fn enter(&self, command: &str) -> Result<()> {
        let mut pipe = OpenOptions::new().write(true).open(self.log("commands"))?;
        Ok(writeln!(pipe, "{command}")?)
    }

    fn keep_logs(&self) {
        for name in ["luod.log", "kvcache.log", "commands.log"] {
            // Without them luo-emu's own log has to do.
            let _best_effort = fs::copy(self.log(name), self.logs.join(name));
        }
    }
}

impl Host for Emulated {
    fn luoctl(&self, word: &str) -> Result<Value> {
        let text = Self::output(self.command("luoctl").args(["--json", word]))?;
        serde_json::from_str(&text).with_context(|| format!("luoctl {word} printed: {text}"))
    }

    fn report(&self) -> Result<String> {
        Self::output(self.command("luoctl").arg("report"))
    }

    fn load(&self, action: &str) -> Result<String> {
        let (keys, bytes) = (KEYS.to_string(), VALUE_BYTES.to_string());
        let arguments = [action, "--keys", &keys, "--value-bytes", &bytes];
        let text = Self::output(
            self.command("kvcache-load")
                .args(arguments)
                .args(["--connect", "./kv.sock"]),
        )?;
        Ok(text.trim().to_owned())
    }

    fn update(&mut self) -> Result<()> {
        self.enter(&self.update_command())?;
        self.wait_log("kvcache.log", "arena kept over a live update")
    }

    fn update_command(&self) -> String {
        "luoctl update --kernel next-kernel --reuse-cmdline".to_owned()
    }

    fn end(mut self) -> Result<()> {
        self.machine.kill()?;
        self.machine.wait()?;
        Ok(())
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.machine.kill();
        let _reaped = self.machine.wait();
        self.keep_logs();
    }
}
