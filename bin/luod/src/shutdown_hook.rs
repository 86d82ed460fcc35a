//! `luod shutdown-hook`: the last program that runs before the jump.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use luod_engine::{NextKernel, check_device};

/// What systemd-shutdown calls a jump.
const KEXEC: &str = "kexec";

/// Loads the next kernel again if an update is under way: nobody is left who could unload it.
pub(crate) fn run(runtime_dir: &Path, action: &str) -> anyhow::Result<()> {
    if action != KEXEC {
        return Ok(());
    }
    let loaded = NextKernel::in_runtime_dir(runtime_dir).load();
    match &loaded {
        Ok(true) => tell("<6>luod: the next kernel is loaded"),
        Ok(false) => {}
        Err(error) => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tell(&format!("<3>luod: {error}: {}", cause.unwrap_or_default()));
        }
    }
    // Nobody is left who could be asked to close it.
    if let Err(refusal) = check_device() {
        let text = "systemd cannot hand over what units have in its stores";
        tell(&format!("<3>luod: {text}: {}", refusal.message));
    }
    loaded.map(drop).context("loading the next kernel")
}

/// The kernel's log is all that is left.
fn tell(line: &str) {
    if let Ok(mut log) = File::options().write(true).open("/dev/kmsg") {
        // Nobody to tell if this fails.
        let _lost = log.write_all(line.as_bytes());
    }
}
