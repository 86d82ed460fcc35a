//! The demo on real kernels in a virtual machine.

use std::time::Duration;

use anyhow::Result;
use e2e::protocol::When;
use serde_json::Value;

use super::steps::Steps;
use super::{ARENA, Host, KEYS, VALUE_BYTES, counts};
use crate::host::{self, Kernels, UPDATE, prepare, service};
use crate::prerequisites::{self, Purpose};
use crate::workspace::Workspace;

const SOCKET: &str = "/run/kv.sock";
/// Longest time for a program in the guest, in emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// A guest.
pub(super) struct Vm(host::Host);

/// Builds what is missing and boots Linux 7.2.
pub(super) fn boot(workspace: &Workspace) -> Result<(Vm, Steps)> {
    let mut steps = Steps::new(7);
    steps.begin("Tools");
    prerequisites::ensure(&[Purpose::Machine])?;
    steps.done("QEMU is there");

    steps.begin("Kernels");
    let kernels = Kernels::build()?;
    let (before, after) = (&kernels.before.release, &kernels.after.release);
    steps.done(&format!("Linux {before} and Linux {after}"));

    steps.begin("Programs for the guest");
    let logs = prepare(workspace)?.join("demo");
    steps.done("luod, luoctl, kvcache");

    steps.begin(&format!("Booting Linux {before} in QEMU"));
    let kvcache = format!("/bin/kvcache --service cache --unix {SOCKET} --memory {ARENA}");
    let services = [
        service("luod", When::Always, "/bin/luod"),
        service("kvcache", When::Always, &kvcache),
    ];
    let host = host::Host::boot(&kernels, &services, e2e::LARGE_MEMORY_MIB, &logs)?;
    host.machine.wait_log("kvcache", "arena new", PATIENCE)?;
    let status = host.luoctl("status")?;
    steps.done(&format!(
        "{}, 3 GiB of memory; luod and kvcache run",
        counts(&status)
    ));
    Ok((Vm(host), steps))
}

impl Host for Vm {
    fn luoctl(&self, word: &str) -> Result<Value> {
        self.0.luoctl(word)
    }

    fn report(&self) -> Result<String> {
        self.0.run("/bin/luoctl report", PATIENCE)
    }

    fn load(&self, action: &str) -> Result<String> {
        let command = format!(
            "/bin/kvcache-load {action} --keys {KEYS} --value-bytes {VALUE_BYTES} --connect {SOCKET}"
        );
        Ok(self.0.run(&command, PATIENCE)?.trim().to_owned())
    }

    fn update(&mut self) -> Result<()> {
        self.0.update()?;
        let machine = &self.0.machine;
        machine.wait_log("kvcache", "arena kept over a live update", PATIENCE)?;
        Ok(())
    }

    fn update_command(&self) -> String {
        UPDATE.to_owned()
    }

    fn end(self) -> Result<()> {
        Ok(self.0.machine.poweroff()?)
    }
}
