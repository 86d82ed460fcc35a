//! `luod shutdown-hook`: the last program that runs before the jump.

use std::path::Path;

use anyhow::Context as _;
use luod_engine::{Gravity, NextKernel, check_device, tell};

/// What systemd-shutdown calls a jump.
const KEXEC: &str = "kexec";

/// Loads the next kernel again if an update is under way: nobody is left who could unload it.
pub(crate) fn run(runtime_dir: &Path, action: &str) -> anyhow::Result<()> {
    if action != KEXEC {
        return Ok(());
    }
    let loaded = NextKernel::in_runtime_dir(runtime_dir).load();
    match &loaded {
        Ok(true) => tell(Gravity::Info, "the next kernel is loaded"),
        Ok(false) => {}
        Err(error) => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let text = format!("{error}: {}", cause.unwrap_or_default());
            tell(Gravity::Error, &text);
        }
    }
    // Nobody is left who could be asked to close it.
    if let Err(refusal) = check_device() {
        let text = "systemd cannot hand over what units have in its stores";
        tell(Gravity::Error, &format!("{text}: {}", refusal.message));
    }
    loaded.map(drop).context("loading the next kernel")
}
