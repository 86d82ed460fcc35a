//! The command line.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help text, as typed at a terminal"
)]

use std::path::PathBuf;

use tracing_subscriber::filter::Targets;

/// Keeps what services hold in memory over their restart, over its own, and over a live update of
/// the kernel.
///
/// Services find it at its socket (crate `liveupdate`, Varlink interface io.liveupdate.Service);
/// operators drive it with luoctl. It starts a second process, the holder, which has a duplicate
/// of every descriptor: killing luod loses nothing; when the holder is ended as well, everything is lost.
/// As a service of systemd with FileDescriptorStoreMax= it has systemd hold the duplicates, and start the next kernel.
#[derive(Debug, clap::Parser)]
#[command(name = "luod", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// Folder of the sockets; made if it is missing
    #[arg(long, value_name = "DIR", default_value = "/run/luod")]
    pub(crate) runtime_dir: PathBuf,

    /// Folder of the history of updates; made if it is missing
    #[arg(long, value_name = "DIR", default_value = "/var/lib/luod")]
    pub(crate) state_dir: PathBuf,

    /// Folder of programs that take part in updates: each is run with prepare, freeze, cancel, boot, finish
    #[arg(long, value_name = "DIR", default_value = "/etc/luod/programs.d")]
    pub(crate) programs_dir: PathBuf,

    /// Socket for services and luoctl [default: liveupdate.sock in the runtime folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// What to log: error, warn, info, debug, or filters like luod_engine=debug
    #[arg(
        long,
        value_name = "FILTER",
        env = "LUOD_LOG",
        default_value = "info",
        global = true
    )]
    pub(crate) log: Targets,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Keeps descriptors for a luod; started by it
    Hold {
        /// Socket to listen on
        #[arg(long, value_name = "PATH")]
        socket: PathBuf,
    },
    /// Writes the manual page luod.8 into a folder
    #[command(hide = true)]
    Man {
        /// The folder; made if it is missing
        folder: PathBuf,
    },
    /// Loads the next kernel once more when everything has ended; run by systemd-shutdown
    ShutdownHook {
        /// What systemd is about to do: only for `kexec` is there something to do
        action: String,
    },
}
