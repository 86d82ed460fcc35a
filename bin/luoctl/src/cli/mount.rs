//! The command line of `luoctl mount`.

use std::ffi::OsString;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  luoctl mount upgrade /srv/app /srv/app-2.0
      what is mounted at /srv/app is replaced by the tree of the folder /srv/app-2.0
  luoctl mount upgrade /srv/app /dev/vdb --type ext4 --option ro --expect bin/app
      by the file system on /dev/vdb, if it has bin/app

The new tree goes beneath the old one, and the old one is detached: there is no moment in which nothing is
mounted. Programs that work in the old tree keep it until they close it. When the new tree is not what is seen
afterwards, the old one is put back. Nothing is written to /etc/fstab.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum MountCommand {
    /// Replaces what is mounted at a path, with no moment in which nothing is there
    Upgrade(UpgradeArgs),
    /// Makes a mount the root folder, and becomes a program of it: the last step of an initramfs
    ///
    /// Every process gets the new root (pivot_root). Where the initramfs itself is the first mount there is, before
    /// Linux 7.2 or so, only this one does, and what the initramfs has in memory stays there.
    SwitchRoot(SwitchRootArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SwitchRootArgs {
    /// Where the new root is mounted
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,

    /// Folder whose mount is moved to the same place in the new root, when something is mounted there
    #[arg(
        long = "along",
        value_name = "FOLDER",
        default_values = ["/dev", "/proc", "/sys", "/run"]
    )]
    pub(crate) along: Vec<PathBuf>,

    /// The program of the new root, with its arguments
    #[arg(last = true, required = true, value_name = "INIT")]
    pub(crate) init: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeArgs {
    /// Where something is mounted
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,

    /// Folder whose tree takes its place; with --type, the source of a file system
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,

    /// Mount NEW as a file system of this type; refused if it is mounted elsewhere already
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) fs_type: Option<String>,

    /// Parameter of the file system; of its mount: ro, nosuid, nodev, noexec
    #[arg(
        long = "option",
        value_name = "KEY[=VALUE]",
        value_delimiter = ',',
        requires = "fs_type"
    )]
    pub(crate) options: Vec<String>,

    /// Path that the new tree must have, relative to it
    #[arg(long, value_name = "PATH")]
    pub(crate) expect: Option<PathBuf>,
}
