//! The command line of `luoctl pstore`.

use std::path::PathBuf;

use pstore::Level;

pub(super) const EXAMPLES: &str = "\
Examples:
  luoctl pstore setup --log-size 512K         # words for the command line, and what else is needed
  luoctl pstore setup --driver module --write
  luoctl pstore check                         # will the next kernel have the last lines of this one?
  luoctl pstore check --kernel /boot/vmlinuz-7.3.4 --reuse-cmdline
  luoctl pstore collect                       # before systemd-pstore, which keeps one boot only
  luoctl pstore list
  luoctl pstore show                          # the last lines of the kernel before
  luoctl pstore show 3 --level warning
  luoctl pstore export --to /tmp/logs

A boot is named by its number in the list, by the start of its boot id, or counted from the last: -0, -1.
Collecting again changes nothing. Exit code 22: check found what would lose the log; 24: there is no such log.";

/// Where the archive is.
#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    /// Folder of the archive
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/luod/pstore")]
    pub(crate) archive: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum PstoreCommand {
    /// Prints how a kernel keeps its last lines for the next one; writes nothing without --write
    Setup(SetupArgs),
    /// Tells whether the log of this kernel reaches the next one; exit code 22 if it does not
    Check(PstoreCheckArgs),
    /// Copies what pstore has into the archive, each boot apart
    Collect(CollectArgs),
    /// Lists the boots in the archive and what the kernel before each of them left
    List(ArchiveArgs),
    /// Shows the last lines of the kernel before a boot; exit code 24 if it left none
    Show(ShowArgs),
    /// Writes everything of one boot or of all, unpacked and joined
    Export(ExportArgs),
    /// Reads the memory of ramoops out of a file: a dump of the region, for a kernel that did not show it
    Region(RegionArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetupArgs {
    /// Room for a log as it is packed, a third of its text or less: 16K to 16M; made a power of two
    #[arg(long, value_name = "SIZE", default_value = "256K", value_parser = size)]
    pub(crate) log_size: u64,

    /// Name of the region
    #[arg(long, value_name = "NAME", default_value = "oops")]
    pub(crate) label: String,

    /// Whether ramoops is in the kernel or a module [default: as in this kernel's configuration]
    #[arg(long, value_enum)]
    pub(crate) driver: Option<DriverArg>,

    /// Write the files for modprobe and the words for luoctl update --append; never touches a boot loader
    #[arg(long)]
    pub(crate) write: bool,

    /// Folder that stands for /, to write below
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    pub(crate) root: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DriverArg {
    BuiltIn,
    Module,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PstoreCheckArgs {
    #[command(flatten)]
    pub(crate) next: super::NextKernelArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CollectArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,

    /// Folder of the records
    #[arg(long, value_name = "FOLDER", default_value = "/sys/fs/pstore")]
    pub(crate) from: PathBuf,

    /// Remove each record once its copy is on the disk [default: leave it to systemd-pstore]
    #[arg(long)]
    pub(crate) unlink: bool,

    /// Tell what would be done; write and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Boots that stay in the archive
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) keep: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The boot that collected it
    #[arg(value_name = "BOOT", default_value = "-0", allow_hyphen_values = true)]
    pub(crate) boot: String,

    /// Show this record instead, whatever it is
    #[arg(long, value_name = "NAME")]
    pub(crate) record: Option<String>,

    /// Only lines as grave as this: emerg, alert, crit, err, warning, notice, info, debug
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub(crate) level: Option<Level>,

    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The boot [default: all]
    #[arg(value_name = "BOOT", allow_hyphen_values = true)]
    pub(crate) boot: Option<String>,

    /// Folder for a text file a dump and record, made if it is not there [default: JSON on standard output]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RegionArgs {
    /// The bytes of the region, from its start
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Sizes as ramoops has them; they are rounded as the driver rounds them
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) record_size: u64,

    /// Bytes of the console's zone
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    pub(crate) console_size: u64,

    /// Bytes of the zone of /dev/pmsg0
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    pub(crate) pmsg_size: u64,

    /// Bytes of all zones of ftrace
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    pub(crate) ftrace_size: u64,

    /// Possible processors of the kernel that wrote it, among whom the zones of ftrace are divided
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) processors: u64,

    /// ramoops.ecc
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) ecc: u64,

    /// Folder for the records as pstore would show them, made if it is not there; `collect --from` takes it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: Option<PathBuf>,
}

/// `256K`, `2M`, `0x40000`, `4096`.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1).unwrap_or(""), 10),
        Some(b'm' | b'M') => (text.get(..text.len() - 1).unwrap_or(""), 20),
        _ => (text, 0),
    };
    let number = crate::inspect::number(digits);
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "a size like 256K, 2M or 0x40000".to_owned())
}

fn level(name: &str) -> Result<Level, String> {
    Level::named(name).ok_or_else(|| "a level from emerg to debug, or 0 to 7".to_owned())
}
