//! The packages of the client library for C, as somebody who installs them uses them: in a root with nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::library::{LIBC, MULTIARCH, SONAME};
use super::output;
use crate::prerequisites::{self, Purpose};

/// Longest wait for luod.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// What packages install, and what must be gone with them.
const INSTALLED: [&str; 3] = [
    "usr/include/liveupdate.h",
    "usr/share/doc/libliveupdate-dev",
    "usr/share/doc/libliveupdate0",
];

/// Installs both packages in an empty root, builds the installed example with what pkg-config says there, runs it beside
/// luod, which is in `programs` with luoctl, and removes the packages.
///
/// # Errors
/// What is wrong with the packages.
pub(crate) fn check(packages: &[PathBuf; 2], programs: &Path) -> Result<()> {
    prerequisites::ensure(&[Purpose::Package])?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let root = folder.path().join("root");
    install(&root, packages)?;
    let libraries = root.join("usr/lib").join(MULTIARCH);
    check_libc(&libraries.join(SONAME))?;
    for example in ["counter", "direct"] {
        build(&root, example, &folder.path().join(example))?;
    }
    let program = folder.path().join("counter");
    // It is the installed library that it runs with: without it, it does not.
    let alone = Command::new(&program).output()?;
    let said = String::from_utf8_lossy(&alone.stderr);
    ensure!(
        !alone.status.success() && said.contains(SONAME),
        "it runs without the library: {said}"
    );
    run(&program, &libraries, programs, &folder.path().join("run"))?;
    remove(&root)
}

/// dpkg, for packages of a root.
fn dpkg(root: &Path) -> Command {
    let mut command = Command::new("dpkg");
    command.arg(format!("--root={}", root.display()));
    command
}

fn install(root: &Path, packages: &[PathBuf; 2]) -> Result<()> {
    for folder in ["info", "updates", "triggers"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(folder))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    // What they depend on is the libraries of this machine.
    output(
        dpkg(root)
            .args(["--force-depends", "--install"])
            .args(packages),
    )?;
    for path in INSTALLED {
        ensure!(root.join(path).exists(), "{path} is not installed");
    }
    Ok(())
}

/// The package depends on a C library that has every symbol version that the library needs.
fn check_libc(library: &Path) -> Result<()> {
    let symbols = output(Command::new("objdump").arg("-T").arg(library))?;
    let symbols = String::from_utf8_lossy(&symbols);
    let needed = symbols
        .split(|c: char| c.is_whitespace() || c == '(' || c == ')')
        .filter_map(|word| word.strip_prefix("GLIBC_"))
        .filter_map(number)
        .max();
    let needed = needed.context("the library needs no C library")?;
    let promised = number(LIBC).context(LIBC)?;
    ensure!(
        needed <= promised,
        "the library needs glibc {needed:?}, its package depends on {promised:?}"
    );
    Ok(())
}

/// Major and minor of a version.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// Compiles an installed example with what the installed pkg-config file says.
fn build(root: &Path, example: &str, program: &Path) -> Result<()> {
    let folder = root.join("usr/lib").join(MULTIARCH).join("pkgconfig");
    let mut describe = Command::new("pkg-config");
    describe
        .args(["--cflags", "--libs", "liveupdate"])
        .env("PKG_CONFIG_LIBDIR", folder)
        .env("PKG_CONFIG_SYSROOT_DIR", root)
        // What is a path of the system there is none here.
        .env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1")
        .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1");
    let flags = String::from_utf8(output(&mut describe)?)?;
    let source = format!("usr/share/doc/libliveupdate-dev/examples/{example}.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra"])
        .arg(root.join(source))
        .args(flags.split_whitespace())
        .arg("-o")
        .arg(program);
    output(&mut compiler).map(drop)
}

/// Runs the counter twice beside luod: the second one finds what the first one left.
fn run(program: &Path, libraries: &Path, programs: &Path, runtime: &Path) -> Result<()> {
    let mut agent = Command::new(programs.join("luod"));
    agent.arg("--runtime-dir").arg(runtime);
    agent.stderr(Stdio::null());
    let agent = Running(agent.spawn().context("start luod")?);
    let socket = runtime.join("liveupdate.sock");
    let begin = Instant::now();
    while !socket.exists() {
        ensure!(begin.elapsed() < PATIENCE, "luod does not listen");
        thread::sleep(PAUSE);
    }
    for start in ["counter: new at 0", "counter: kept at "] {
        let mut counter = Command::new(program)
            .arg("counter")
            .env("LIVEUPDATE_SOCKET", &socket)
            .env("LD_LIBRARY_PATH", libraries)
            .stdout(Stdio::piped())
            .spawn()
            .context("start the example")?;
        let said = counter.stdout.take().context("no output")?;
        let _counter = Running(counter);
        let mut said = BufReader::new(said);
        let first = line(&mut said)?;
        ensure!(
            first.starts_with(start),
            "it says {first:?}, not {start:?}…"
        );
        let second = line(&mut said)?;
        ensure!(second == "counter: serves", "it says {second:?}");
    }
    // The holder outlives luod.
    let mut luoctl = Command::new(programs.join("luoctl"));
    luoctl.args(["--json", "status"]);
    let status = output(luoctl.env("LIVEUPDATE_SOCKET", &socket))?;
    let status: serde_json::Value = serde_json::from_slice(&status)?;
    let holder = status["holder_pid"]
        .as_i64()
        .and_then(|pid| i32::try_from(pid).ok());
    let holder = holder
        .and_then(Pid::from_raw)
        .context("luod has no holder")?;
    drop(agent);
    Ok(kill_process(holder, Signal::KILL)?)
}

fn line(said: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    if said.read_line(&mut line)? == 0 {
        bail!("the example ended");
    }
    Ok(line.trim_end().to_owned())
}

/// Removes both packages; nothing of theirs is left.
fn remove(root: &Path) -> Result<()> {
    let names = ["libliveupdate-dev", "libliveupdate0"];
    output(dpkg(root).arg("--purge").args(names))?;
    for path in INSTALLED {
        ensure!(!root.join(path).exists(), "{path} is left");
    }
    let libraries = root.join("usr/lib").join(MULTIARCH);
    ensure!(!libraries.exists(), "{} is left", libraries.display());
    Ok(())
}

/// A process that ends with its name.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(number("2.36") > number("2.4"));
        assert_eq!(number("2.2.5"), Some((2, 2)));
        assert_eq!(number("PRIVATE"), None);
    }
}
