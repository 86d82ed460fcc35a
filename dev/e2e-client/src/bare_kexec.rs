//! Loads a kernel and jumps.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kexec_sys::SealedImage;

use crate::stamp;

/// The image that the running kernel was booted with; there with `retain_initrd` on its command
/// line only (`init/initramfs.c`, v7.3).
const RUNNING_INITRD: &str = "/sys/firmware/initrd";

/// What to jump to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The kernel image.
    #[arg(long)]
    kernel: PathBuf,
    /// The next kernel's initrd.
    #[arg(long, default_value = RUNNING_INITRD)]
    initrd: PathBuf,
    /// The next kernel's command line [default: that of the running kernel].
    #[arg(long)]
    cmdline: Option<String>,
}

/// Loads a kernel that needs no initrd, with the command line of the running one.
pub(crate) fn load(kernel: &Path) -> anyhow::Result<()> {
    let image = copy("kernel", kernel)?;
    kexec_sys::load(&image, None, &running_cmdline()?)
        .with_context(|| format!("load {}", kernel.display()))
}

fn running_cmdline() -> anyhow::Result<CString> {
    let cmdline = fs::read_to_string("/proc/cmdline").context("read /proc/cmdline")?;
    CString::new(cmdline.trim_end()).context("the command line has a NUL byte")
}

/// Returns only with the reason why there was no jump.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let kernel = copy("kernel", &arguments.kernel)?;
    let initrd = copy("initrd", &arguments.initrd)?;
    let cmdline = match &arguments.cmdline {
        Some(given) => CString::new(given.trim_end()).context("--cmdline has a NUL byte")?,
        None => running_cmdline()?,
    };
    kexec_sys::load(&kernel, Some(initrd.as_fd()), &cmdline).with_context(|| {
        format!(
            "load {} ({} bytes) with {} ({} bytes)",
            arguments.kernel.display(),
            kernel.len_bytes(),
            arguments.initrd.display(),
            initrd.len_bytes()
        )
    })?;
    stamp::leave("jump")?;
    match kexec_sys::reboot::kexec()? {}
}

fn copy(what: &'static str, path: &Path) -> anyhow::Result<SealedImage> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    SealedImage::copy(what, file).with_context(|| format!("copy {}", path.display()))
}
