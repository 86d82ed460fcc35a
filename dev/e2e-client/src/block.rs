//! A file of the guest as a block device.

use std::fs::File;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::say;

/// What is to be a device.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file.
    file: PathBuf,
}

/// Says which device it is, and keeps it until a signal ends this.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = File::options().read(true).write(true).open(&arguments.file);
    let file = file.with_context(|| arguments.file.display().to_string())?;
    let (_device, path) = loop_sys::attach(&file).context("make it a loop device")?;
    say!("device {}", path.display());
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
