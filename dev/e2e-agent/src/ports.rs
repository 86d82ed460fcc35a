//! The ways to the host: virtio-serial ports by name, or the streams of an emulated machine.

use std::fs::{self, File, OpenOptions};
use std::io::{stdin, stdout};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use e2e_protocol::{CONTROL_PORT, LOG_PORT};

use crate::platform::Platform;

/// Where the kernel lists the ports.
const PORTS: &str = "/sys/class/virtio-ports";
/// The device names its ports some time after it was found.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Opens the conversation, for both directions.
pub(crate) fn control(platform: Platform) -> anyhow::Result<File> {
    match platform {
        Platform::Virtual => open(CONTROL_PORT),
        Platform::Emulated => {
            let stream = stdin().as_fd().try_clone_to_owned();
            Ok(stream.context("duplicate standard input")?.into())
        }
    }
}

/// Opens the agent log.
pub(crate) fn log(platform: Platform) -> anyhow::Result<File> {
    match platform {
        Platform::Virtual => open(LOG_PORT),
        Platform::Emulated => {
            let stream = stdout().as_fd().try_clone_to_owned();
            Ok(stream.context("duplicate standard output")?.into())
        }
    }
}

/// Waits for the port called `name` and opens it for both directions.
fn open(name: &str) -> anyhow::Result<File> {
    let start = Instant::now();
    loop {
        if let Some(path) = find(name) {
            let opened = OpenOptions::new().read(true).write(true).open(&path);
            return opened.with_context(|| format!("open port {name} at {}", path.display()));
        }
        if start.elapsed() > PATIENCE {
            bail!("no port is called {name} in {PORTS}: is the virtio-serial device there?");
        }
        thread::sleep(PAUSE);
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir(PORTS).ok()?;
    for port in ports.flatten() {
        let port_name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        let device = PathBuf::from("/dev").join(port.file_name());
        if port_name.trim_end() == name && device.exists() {
            return Some(device);
        }
    }
    None
}
