//! The root of an emulated machine: the image unpacked, as the kernel does it at boot.
//!
//! Process 1 is in mount, process, network and IPC namespaces of its own already; every generation
//! gets new ones, so nothing of this outlives a jump.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::process::pivot_root;

use crate::unpack;

/// Devices of the host that any program may have. A user namespace could not make them.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Where a kernel with `retain_initrd` shows the image it was booted with.
const INITRD: &str = "sys/firmware/initrd";
/// Its permissions (`init/initramfs.c`, v7.3).
const INITRD_MODE: u32 = 0o440;

/// What becomes the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// The initramfs, as a kernel would get it.
    pub(crate) image: PathBuf,
    /// An empty folder of the host to mount the root on.
    pub(crate) folder: PathBuf,
}

impl Root {
    /// Makes the root and goes there for good.
    ///
    /// # Errors
    /// The image is none, or something cannot be mounted.
    pub(crate) fn enter(&self) -> anyhow::Result<()> {
        let root = &self.folder;
        mount_new("tmpfs", root)?;
        let image = fs::read(&self.image)
            .with_context(|| format!("read the image {}", self.image.display()))?;
        unpack::unpack(&image, root)
            .with_context(|| format!("unpack the image {}", self.image.display()))?;
        mount_new("proc", &root.join("proc"))?;
        mount_new("tmpfs", &root.join("dev"))?;
        for name in DEVICES {
            give_device(name, &root.join("dev"))?;
        }
        // Not sysfs: it would be the host's. What programs look for in it `luo-emu` answers, as far
        // as a live update is concerned.
        mount_new("tmpfs", &root.join("sys"))?;
        let initrd = root.join(INITRD);
        fs::create_dir_all(root.join("sys/firmware")).context("make /sys/firmware")?;
        fs::write(&initrd, &image).context("write /sys/firmware/initrd")?;
        fs::set_permissions(&initrd, Permissions::from_mode(INITRD_MODE))
            .context("protect /sys/firmware/initrd")?;
        std::env::set_current_dir(root).context("enter the root")?;
        pivot_root(".", ".").context("make it the root")?;
        // The old root is on top of the new one now.
        unmount(".", UnmountFlags::DETACH).context("leave the old root")?;
        std::env::set_current_dir("/").context("enter the new root")
    }
}

fn mount_new(kind: &str, target: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(target).with_context(|| format!("make {}", target.display()))?;
    mount(kind, target, kind, MountFlags::empty(), None)
        .with_context(|| format!("mount {kind} on {}", target.display()))
}

fn give_device(name: &str, folder: &Path) -> anyhow::Result<()> {
    let (from, to) = (Path::new("/dev").join(name), folder.join(name));
    File::create(&to).with_context(|| format!("make {}", to.display()))?;
    mount_bind(&from, &to).with_context(|| format!("bind {} to {}", from.display(), to.display()))
}
