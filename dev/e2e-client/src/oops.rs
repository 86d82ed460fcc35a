//! An oops that the kernel survives, without a module and without `SysRq`: a list that every reader of
//! `/proc/filesystems` walks begins, for a moment, where there is no memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::say;

/// Head of the list (`fs/filesystems.c`).
const LIST: &str = "file_systems";
/// No address at all on x86-64: the processor raises an exception.
const NOWHERE: u64 = 0xdead_0000_0000_0000;

/// Bends the list, has a child walk it, and puts it right again.
pub(crate) fn run() -> anyhow::Result<()> {
    let place = physical(LIST)?;
    let memory = File::options()
        .read(true)
        .write(true)
        .open("/dev/mem")
        .context("open /dev/mem")?;
    let mut before = [0; 8];
    memory
        .read_exact_at(&mut before, place)
        .context("read the list")?;
    memory
        .write_all_at(&NOWHERE.to_ne_bytes(), place)
        .context("bend the list")?;
    // The kernel kills who walks it.
    let walked = Command::new("/bin/e2e-client")
        .args(["count", "/proc/filesystems", "1"])
        .status();
    memory
        .write_all_at(&before, place)
        .context("put the list right")?;
    let walked = walked.context("start a child")?;
    ensure!(!walked.success(), "the kernel did not stumble: {walked}");
    say!("the kernel stumbled: {walked}");
    Ok(())
}

/// Where a symbol of the kernel is in memory: as far behind the start of its code as `/proc/kallsyms` says.
fn physical(symbol: &str) -> anyhow::Result<u64> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("read /proc/kallsyms")?;
    let address = |wanted: &str| {
        let mut lines = symbols.lines();
        let line = lines.find(|line| line.split(' ').nth(2) == Some(wanted));
        let line = line.with_context(|| format!("no symbol {wanted}"))?;
        let digits = line.split(' ').next().unwrap_or_default();
        u64::from_str_radix(digits, 16).context("an address")
    };
    let memory = fs::read_to_string("/proc/iomem").context("read /proc/iomem")?;
    let code = memory.lines().find(|line| line.ends_with(": Kernel code"));
    let code = code.context("no code in /proc/iomem")?.trim_start();
    let start = code.split('-').next().unwrap_or_default();
    let start = u64::from_str_radix(start, 16).context("where the code starts")?;
    let offset = address(symbol)?.checked_sub(address("_text")?);
    Ok(start + offset.context("a symbol before the code")?)
}
