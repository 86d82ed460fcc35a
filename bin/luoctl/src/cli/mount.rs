//! The command line of `luoctl mount`.

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
