//! A guest in which livepatch modules are loaded.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use e2e::{Accel, Initramfs};
use initrd::Permissions;

/// Longest run, in emulation on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the guest's list is, and what its answers start with (`klp-guest`).
const LIST: &str = "/steps";
const MARK: &str = "@ ";

/// A guest in the making.
#[derive(Debug, Default)]
pub struct Guest {
    files: Vec<(PathBuf, String)>,
    steps: Vec<String>,
}

/// What a guest answered.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Each step with the lines of its answer.
    pub steps: Vec<(String, Vec<String>)>,
    /// Everything on the console.
    pub console: String,
}

impl Guest {
    /// Adds a module to the image; steps know it by the path that is returned.
    pub fn module(&mut self, file: &Path) -> String {
        let path = format!("/{}.ko", self.files.len());
        self.files.push((file.to_owned(), path.clone()));
        path
    }

    /// Adds a step, as `klp-guest` takes it.
    pub fn step(&mut self, step: impl Into<String>) {
        self.steps.push(step.into());
    }

    /// Runs the guest to its end.
    ///
    /// # Errors
    /// The image cannot be made, QEMU cannot be started, or the guest did not come to its end.
    pub fn run(self, kernel: &Path, program: &Path, folder: &Path) -> Result<Answers> {
        let mut image = Initramfs::with_agent(program)?;
        for (file, path) in &self.files {
            image.file(file, path, Permissions::DATA)?;
        }
        let list = self.steps.join("\n");
        image.bytes(LIST, Permissions::DATA, list.as_bytes())?;
        let image = image.write_to(&folder.join("initramfs.cpio"))?;
        let console = console(kernel, &image, folder)?;
        let answers = answers(&console);
        match answers.last() {
            Some((_, lines)) if lines.last().is_some_and(|line| line == "end") => Ok(Answers {
                steps: answers,
                console,
            }),
            _ => bail!("the guest did not come to its end:\n{console}"),
        }
    }
}

impl Answers {
    /// The answers to a step, in the order in which it was asked.
    pub fn to<'a>(&'a self, step: &'a str) -> impl Iterator<Item = String> + 'a {
        let same = self.steps.iter().filter(move |(asked, _)| asked == step);
        same.map(|(_, lines)| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            lines.join("\n").trim_end_matches("\nend").to_owned()
        })
    }
}

fn console(kernel: &Path, image: &Path, folder: &Path) -> Result<String> {
    let log = folder.join("console");
    let mut qemu = Command::new("qemu-system-x86_64")
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-m",
            "512",
            "-smp",
            "2",
        ])
        .args(Accel::choose(kernel).arguments())
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        .args([
            "-append",
            "console=ttyS0 panic=-1 tsc=reliable no_timer_check quiet",
        ])
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start qemu-system-x86_64")?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = qemu.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > PATIENCE {
            qemu.kill()?;
            qemu.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let console = fs::read(&log).unwrap_or_default();
    let console = String::from_utf8_lossy(&console).into_owned();
    match status {
        Some(status) if status.success() => Ok(console),
        Some(status) => {
            let mut said = String::new();
            if let Some(mut errors) = qemu.stderr.take() {
                errors.read_to_string(&mut said)?;
            }
            bail!("QEMU ended with {status}: {said}\n{console}")
        }
        None => bail!("the guest did not end within {PATIENCE:?}:\n{console}"),
    }
}

/// Steps with their answers; the kernel's own lines are between.
fn answers(console: &str) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    let marked = console.lines().filter_map(|line| line.strip_prefix(MARK));
    for line in marked.map(str::trim_end) {
        match (line.strip_prefix("> "), steps.last_mut()) {
            (Some(step), _) => steps.push((step.to_owned(), Vec::new())),
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    steps
}
