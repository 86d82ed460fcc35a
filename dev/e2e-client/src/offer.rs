//! Offers for preservation what cannot be preserved, and prints what luod and the kernel say.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use liveupdate::{Device, Error, MemfdSpec, SessionName, Store, Token};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::say;

/// Where a file system without pages of shared memory is mounted.
const RAMFS: &str = "/tmp/offered-ramfs";
/// A file on tmpfs that has a name.
const NAMED: &str = "/tmp/offered-named";
/// Huge pages of x86-64.
const HUGE_PAGE_BYTES: u64 = 2 << 20;
/// Longest wait for the device.
const DEVICE_PATIENCE: Duration = Duration::from_secs(2);

/// What is offered, as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    kind: Kind,
    /// The service that offers it to luod.
    #[arg(long, default_value = "offering")]
    service: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// The reading end of a pipe.
    Pipe,
    /// A file of a file system that is not tmpfs.
    File,
    /// A file on tmpfs that has a name.
    Named,
    /// A memfd of huge pages.
    Hugetlb,
    /// A file on tmpfs without a name: this one can be preserved.
    Unlinked,
}

/// Prints what luod says, then what the kernel says to the program itself.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let offered = open(arguments.kind)?;
    let mut store = Store::connect(&arguments.service)?;
    match store.keep("offered", &offered, &MemfdSpec::new(0)) {
        Ok(()) => {
            say!("luod: kept");
            store.forget("offered")?;
        }
        Err(error) => say!("luod: {error}"),
    }
    let device = Device::open_within(DEVICE_PATIENCE)?;
    let session = device.create_session(&SessionName::new("e2e-offer")?)?;
    drop(device);
    match session.preserve(&offered, Token(1)).map_err(Error::from) {
        Ok(()) => say!("kernel: preserved"),
        Err(error) => say!("kernel: {error}"),
    }
    Ok(())
}

fn open(kind: Kind) -> anyhow::Result<OwnedFd> {
    Ok(match kind {
        Kind::Pipe => std::io::pipe()?.0.into(),
        Kind::File => on_ramfs()?,
        Kind::Named => File::create(NAMED).context(NAMED)?.into(),
        Kind::Unlinked => {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(NAMED)
                .context(NAMED)?;
            file.set_len(4096)?;
            fs::remove_file(NAMED)?;
            file.into()
        }
        Kind::Hugetlb => {
            // Takes no huge page: only a mapping or a preservation would.
            let memfd = memfd_create("huge", MemfdFlags::HUGETLB | MemfdFlags::CLOEXEC)
                .context("memfd_create(MFD_HUGETLB)")?;
            ftruncate(memfd.as_fd(), HUGE_PAGE_BYTES)?;
            memfd
        }
    })
}

/// The image of the guest is itself a tmpfs, so a file system of another kind is mounted for it.
fn on_ramfs() -> anyhow::Result<OwnedFd> {
    fs::create_dir_all(RAMFS)?;
    mount("ramfs", RAMFS, "ramfs", MountFlags::empty(), None).context("mount ramfs")?;
    let file = File::create(Path::new(RAMFS).join("file"))?;
    unmount(RAMFS, UnmountFlags::DETACH).context("unmount ramfs")?;
    Ok(file.into())
}
