//! The command line of `luoctl fs`.

use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  luoctl fs tune /srv                                     # shows the parameters
  luoctl fs tune /srv --set errors=remount-ro --set reserved-blocks=0
  luoctl fs tune /srv --set mount-options=commit=30,nodelalloc

Parameters: errors, mount-count, max-mount-count, check-interval, last-check, reserved-blocks, reserved-uid,
reserved-gid, raid-stride, raid-stripe-width, mount-options.

The kernel changes the superblock of the mounted file system itself (Linux 6.18): nothing writes the block
device, so it works where that is forbidden. Mount options are tried before they are stored. Showing takes no
privileges, changing takes root.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum FsCommand {
    /// Shows or changes parameters of the mounted ext4 file system that a path is on
    Tune(TuneArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TuneArgs {
    /// Any file or folder of the file system
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Change a parameter; all that are given, or none
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}
