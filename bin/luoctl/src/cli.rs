//! The command line.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help text, as typed at a terminal"
)]

use std::path::PathBuf;

mod fs;
mod initrd;
mod mount;
mod pstore;

pub(crate) use fs::{FsCommand, TuneArgs};
pub(crate) use initrd::InitrdCommand;
pub(crate) use mount::{MountCommand, SwitchRootArgs, UpgradeArgs};
pub(crate) use pstore::{
    ArchiveArgs, CollectArgs, DriverArg, ExportArgs, PstoreCheckArgs, PstoreCommand, RegionArgs,
    SetupArgs, ShowArgs,
};

const EXAMPLES: &str = "\
Examples:
  luoctl check --entry debian-7.3.4            # can it take over what this host keeps?
  luoctl update --kernel /boot/vmlinuz-7.3.4 --initrd /boot/initrd.img-7.3.4 --reuse-cmdline
  luoctl update --kernel bzImage --reuse-cmdline --append 'quiet' --prepare-only
  luoctl update --go-on          # jump with what is prepared
  luoctl report                  # after the jump: what took how long, what was lost
  luoctl inspect --verify        # is what would be handed over now as it should be?
  luoctl inspect vmcore --html map.html
  luoctl compose plan.toml --output composed
  luoctl boot composed --kernel bzImage --initrd initrd.img --cmdline 'console=ttyS0' --elf start.elf

Exit codes:
   0  done                                 9  the last update is not finished
   1  an internal error                   10  the update was cancelled (veto, deadline, service ended)
   2  wrong usage or parameters           11  the report names a required loss
   3  luod does not answer                12  a descriptor cannot be preserved
   4  not permitted                       13  the name is taken
   5  no live update on this kernel       14  no such service or item
   6  /dev/liveupdate is busy             15  something was not retrieved
   7  kernel, initrd or cmdline refused   16  the kernel refused a call
   8  not possible in this phase          17  the handover cannot be read
  19  the handover has problems           18  a limit was reached
  20  there is no handover                21  the handover does not fit this machine
  22  a kernel or image would be refused  23  the images differ
  24  there is no such log";

/// Updates the kernel of this host without losing what services hold in memory.
#[derive(Debug, clap::Parser)]
#[command(name = "luoctl", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Print JSON: one object, or one a line while steps are going on
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Socket of luod [default: $LIVEUPDATE_SOCKET or /run/luod/liveupdate.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows the phase of the host, the device, and how much is kept
    Status,
    /// Lists services, their sessions and their items
    Sessions,
    /// Tells whether a kernel can take over what this host keeps; changes nothing, needs no luod
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Checks and loads the next kernel, preserves everything, and jumps
    Update(UpdateArgs),
    /// Undoes PREPARE: services go on as before
    Cancel {
        /// Why, for the report
        #[arg(long, value_name = "TEXT", default_value = "cancelled by the operator")]
        reason: String,
    },
    /// Finishes the session of a service that does not do it itself
    Finish {
        /// The service [default: every service that has not finished]
        service: Option<String>,
        /// Give up what was not retrieved; it is named in the report
        #[arg(long)]
        discard: bool,
    },
    /// Shows what the last update did: time by phase and service, everything lost
    Report {
        /// Write a page with a timeline to look at
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Lists the updates of this host that ended: when, from which kernel to which, how long, what was lost
    History {
        /// How many, the last ones
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Prints what happens: phases, what services answer, vetoes, losses; with --json one event a line
    Events {
        /// Go on as events come, until luod ends
        #[arg(long)]
        follow: bool,
    },
    /// Prints the last update as metrics, in the text format of Prometheus
    Metrics,
    /// Reads a handover: of this host, from a memory dump, or from saved pages
    Inspect(InspectArgs),
    /// Makes a handover of a plan: sessions, tokens, contents, seals
    Compose(ComposeArgs),
    /// Starts a kernel with a handover that was composed: at once, or as an ELF file for QEMU
    #[command(after_help = BOOT_EXAMPLES)]
    Boot(BootArgs),
    /// Lists, checks, makes, extends and compares initramfs images; unpacks nothing, needs no luod
    #[command(after_help = initrd::EXAMPLES, subcommand)]
    Initrd(InitrdCommand),
    /// Replaces mounted trees; needs no luod
    #[command(after_help = mount::EXAMPLES, subcommand)]
    Mount(MountCommand),
    /// Tunes mounted file systems; needs no luod
    #[command(after_help = fs::EXAMPLES, subcommand)]
    Fs(FsCommand),
    /// Keeps the last lines of each kernel for the next one, and shows them; needs no luod
    #[command(after_help = pstore::EXAMPLES, subcommand)]
    Pstore(PstoreCommand),
    /// Prints the JSON Schema of what a command prints with --json
    Schema {
        /// Words of the command with hyphens between, like initrd-list; `error` is any failure [default: list them]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Prints what makes a shell complete the words of luoctl
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages, luoctl(1) and one for each command
    Man {
        /// Folder to write them to; made if it is not there
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

const CHECK_EXAMPLES: &str = "\
Examples:
  luoctl check --kernel /boot/vmlinuz-7.3.4 --initrd /boot/initrd.img-7.3.4 --reuse-cmdline
  luoctl check --entry debian-7.3.4
  luoctl check --entry /efi/EFI/Linux/linux-7.3.4.efi --rehearse

Each check is ok, refused, or unknown: what cannot be found out is never ok. An update is stopped by
what is refused, and by an unknown version tag; --force NAME goes on all the same. Exit code 22 when
an update would be stopped.";

const BOOT_EXAMPLES: &str = "\
Examples:
  luoctl boot composed --kernel bzImage --initrd initrd.img --cmdline 'console=ttyS0'
      ends everything that runs here and starts bzImage
  luoctl boot composed --kernel bzImage --load-only && systemctl kexec
      loads it; the host is shut down in order
  luoctl boot composed --kernel bzImage --cmdline 'console=ttyS0' --elf start.elf
  qemu-system-x86_64 -machine q35 -m 1G -nographic -kernel start.elf
      with the memory that the plan says";

#[derive(Debug, clap::Args)]
pub(crate) struct ComposeArgs {
    /// The plan, in TOML; files in it are relative to its folder
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,

    /// Folder for the handover; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BootArgs {
    /// Folder with a composed handover
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,

    /// Kernel image (bzImage) to start
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,

    /// Initial RAM disk for it
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    /// Its command line
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) cmdline: String,

    /// Write one file that a virtual machine starts, instead of starting anything here
    #[arg(long, value_name = "FILE")]
    pub(crate) elf: Option<PathBuf>,

    /// Load it and do not jump: what shuts this host down with kexec starts it
    #[arg(long, conflicts_with = "elf")]
    pub(crate) load_only: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// ELF dump, raw image, /dev/mem, or folder with pages.bin and index.txt [default: the running kernel]
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<PathBuf>,

    /// Look for what is wrong: a line for each problem, exit code 19 if there is one
    #[arg(long)]
    pub(crate) verify: bool,

    /// Write the content of a memfd out
    #[arg(long, num_args = 2, value_names = ["SESSION", "TOKEN"], conflicts_with_all = ["verify", "html"])]
    pub(crate) extract: Vec<String>,

    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE", requires = "extract")]
    pub(crate) output: Option<PathBuf>,

    /// Write a page with a picture of physical memory
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Address of the root FDT, when there are several handovers [default: the one written last]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) root: Option<u64>,
}

fn address(text: &str) -> Result<u64, String> {
    crate::inspect::number(text).ok_or_else(|| "an address like 0x5cc000".to_owned())
}

/// The next kernel and what it is started with.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("line").args(["reuse_cmdline", "cmdline"]))]
pub(crate) struct NextKernelArgs {
    /// Kernel image to start; needs --reuse-cmdline or --cmdline
    #[arg(long, value_name = "FILE", requires = "line")]
    pub(crate) kernel: Option<PathBuf>,

    /// Boot loader entry or unified kernel image to start: a file, or a name in the boot partition; has kernel, initial
    /// RAM disk and command line of its own
    #[arg(long, value_name = "ENTRY", conflicts_with_all = ["kernel", "initrd"])]
    pub(crate) entry: Option<PathBuf>,

    /// Initial RAM disk for it
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    /// Command line of the next kernel: the running one's, without BOOT_IMAGE
    #[arg(long)]
    pub(crate) reuse_cmdline: bool,

    /// Command line of the next kernel
    #[arg(long, value_name = "TEXT")]
    pub(crate) cmdline: Option<String>,

    /// Words added at the end of the command line
    #[arg(long, value_name = "TEXT")]
    pub(crate) append: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("checked").args(["kernel", "entry"]).required(true))]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) next: NextKernelArgs,

    /// Have luod load it and preserve everything, then cancel: what an update would keep, and how long it would take.
    /// Services are asked to get ready, and go on as before
    #[arg(long)]
    pub(crate) rehearse: bool,

    /// With --rehearse: seconds each service has to answer PREPARE
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds, requires = "rehearse")]
    pub(crate) deadline: f64,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("updated").args(["kernel", "entry", "go_on"]).required(true))]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) next: NextKernelArgs,

    /// Go on although these checks of the next kernel refuse it or cannot tell; `luoctl check` names them
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub(crate) force: Vec<String>,

    /// Seconds each service has to answer PREPARE, and again FREEZE
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub(crate) deadline: f64,

    /// What you call this update in events, logs, reports and the history: 1 to 64 of A-Z a-z 0-9 . _ : @ - [default: random]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,

    /// Stop after PREPARE; services go on working until `update --go-on` or `cancel`
    #[arg(long)]
    pub(crate) prepare_only: bool,

    /// Jump with what is prepared
    #[arg(long, conflicts_with_all = ["kernel", "initrd", "entry", "reuse_cmdline", "cmdline", "append", "force", "id", "prepare_only"])]
    pub(crate) go_on: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};
    use luod_api::Code;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        for code in [
            Code::Internal,
            Code::Unfinished,
            Code::NotRetrieved,
            Code::LimitReached,
        ] {
            let number = format!("{:>2}  ", code.exit_code());
            assert!(EXAMPLES.contains(&number), "{code:?}");
        }
    }

    #[test]
    fn an_update_needs_a_kernel_and_one_command_line() {
        let parse =
            |args: &[&str]| Cli::try_parse_from(["luoctl", "update"].iter().chain(args)).is_ok();
        assert!(!parse(&[]));
        assert!(!parse(&["--kernel", "k"]));
        assert!(!parse(&[
            "--kernel",
            "k",
            "--reuse-cmdline",
            "--cmdline",
            "x"
        ]));
        assert!(!parse(&["--go-on", "--kernel", "k"]));
        assert!(!parse(&[
            "--kernel",
            "k",
            "--reuse-cmdline",
            "--deadline",
            "-1"
        ]));
        assert!(parse(&[
            "--kernel",
            "k",
            "--reuse-cmdline",
            "--append",
            "x"
        ]));
        assert!(parse(&["--kernel", "k", "--cmdline", "x"]));
        assert!(parse(&["--go-on"]));
    }
}
