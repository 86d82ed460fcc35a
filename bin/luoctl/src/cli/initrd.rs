//! The command line of `luoctl initrd`.

use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  luoctl initrd list /boot/initrd.img                       # as `cpio -tv`, through every member
  luoctl initrd cat /boot/initrd.img /etc/fstab
  luoctl initrd check /boot/initrd.img --kernel /boot/vmlinuz
  luoctl initrd build image.toml --output initrd.img
  luoctl initrd append /boot/initrd.img agent.toml --output /boot/initrd-agent.img
  luoctl initrd diff old.img new.img

A manifest (paths in the image; sources are relative to the manifest):
  compression = \"zstd\"              # none, gzip, zstd or xz [default: none]
  [file.\"/init\"]
  source = \"agent\"                  # or content = \"text\"
  mode = \"0755\"                     # [default: 0755 if it can be executed, else 0644]
  [link]
  \"/bin/sh\" = \"busybox\"
  [device.\"/dev/console\"]
  kind = \"character\"
  major = 5
  minor = 1
  [tree.\"/usr\"]
  source = \"rootfs/usr\"             # with all that is in it

Owners are root and times are 0 unless the manifest says otherwise: the same manifest and files make
the same image, and it takes no privileges.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum InitrdCommand {
    /// Lists the entries of an image, as `cpio -tv` does, until where Linux stops
    List {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: PathBuf,
    },
    /// Writes a file of an image to standard output, as Linux would leave it
    Cat {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: PathBuf,
        /// Path of the file in the image; links are followed
        #[arg(value_name = "FILE")]
        file: String,
    },
    /// Tells whether a kernel boots with an image, and what it leaves out; exit code 22 if it does not
    Check {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: PathBuf,
        /// Kernel whose configuration counts [default: one of which nothing is known]
        #[arg(long, value_name = "FILE")]
        kernel: Option<PathBuf>,
        /// The program that is started, of rdinit= on the command line
        #[arg(long, value_name = "PATH", default_value = "/init")]
        init: String,
    },
    /// Makes an image of a manifest
    Build {
        /// The manifest, in TOML
        #[arg(value_name = "MANIFEST")]
        manifest: PathBuf,
        #[command(flatten)]
        to: OutputArgs,
    },
    /// Adds the entries of a manifest to an image, which keeps its bytes
    Append {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: PathBuf,
        /// The manifest, in TOML
        #[arg(value_name = "MANIFEST")]
        manifest: PathBuf,
        #[command(flatten)]
        to: OutputArgs,
    },
    /// Tells how two images differ in what Linux makes of them; exit code 23 if they do
    Diff {
        /// The one
        #[arg(value_name = "BEFORE")]
        before: PathBuf,
        /// The other
        #[arg(value_name = "AFTER")]
        after: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// File to write; it is there whole or not at all, readable by its owner only
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
