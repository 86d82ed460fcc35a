//! Small looks at the guest, for assertions on the host.

use std::fs::File;
use std::io::{Read as _, Write as _, stdout};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{getgid, getuid};

/// What to count.
#[derive(Debug, clap::Args)]
pub(crate) struct CountArguments {
    /// The file.
    path: PathBuf,
    /// How many bytes to read at most.
    max: u64,
}

/// What to make.
#[derive(Debug, clap::Args)]
pub(crate) struct SparseArguments {
    /// The file.
    path: PathBuf,
    /// Its size.
    bytes: u64,
}

/// Which file, and its second name.
#[derive(Debug, clap::Args)]
pub(crate) struct HardLinkArguments {
    /// The file.
    path: PathBuf,
    /// Its other name.
    other: PathBuf,
}

/// Which name.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArguments {
    /// The file.
    path: PathBuf,
}

/// Gives a file another name.
pub(crate) fn hard_link(arguments: &HardLinkArguments) -> anyhow::Result<()> {
    let HardLinkArguments { path, other } = arguments;
    std::fs::hard_link(path, other).with_context(|| format!("link {}", path.display()))
}

/// Takes a name away.
pub(crate) fn remove(arguments: &RemoveArguments) -> anyhow::Result<()> {
    let path = &arguments.path;
    std::fs::remove_file(path).with_context(|| format!("remove {}", path.display()))
}

/// Makes a file of holes.
pub(crate) fn sparse(arguments: &SparseArguments) -> anyhow::Result<()> {
    let path = arguments.path.display();
    let file = File::create(&arguments.path).with_context(|| format!("make {path}"))?;
    file.set_len(arguments.bytes)
        .with_context(|| format!("make {path} {} bytes long", arguments.bytes))
}

/// Prints who runs this, then sleeps.
pub(crate) fn linger() -> anyhow::Result<()> {
    writeln!(stdout(), "uid {} gid {}", getuid(), getgid()).context("write to stdout")?;
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Prints how many bytes there are and how many of them are zero.
pub(crate) fn count(arguments: &CountArguments) -> anyhow::Result<()> {
    let path = arguments.path.display();
    let file = File::open(&arguments.path).with_context(|| format!("open {path}"))?;
    let mut bytes = Vec::new();
    file.take(arguments.max)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {path}"))?;
    let zeroes = bytes.iter().filter(|byte| **byte == 0).count();
    writeln!(stdout(), "{} bytes, {zeroes} zero", bytes.len()).context("write to stdout")
}
