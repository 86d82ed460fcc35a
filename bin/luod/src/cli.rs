//! The command line.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help text, as typed at a terminal"
)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
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

    /// Configuration: limits of users, in TOML; none if it is missing
    #[arg(long, value_name = "FILE", default_value = "/etc/luod/luod.toml")]
    pub(crate) config: PathBuf,

    /// Socket for services and luoctl [default: liveupdate.sock in the runtime folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// End another luod that listens there, and go on with everything it keeps: one of the initramfs, or of an older version
    #[arg(long)]
    pub(crate) replace: bool,

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
    /// Runs a program that knows nothing of live updates, and keeps the files of one folder for it
    ///
    /// The folder must be on tmpfs. Before the jump the program is stopped by a signal; in the next
    /// kernel it is started again and finds its files under their names. Files of more than 1 MiB are
    /// not copied: their names become links to descriptors that the program inherits.
    Run(RunArguments),
    /// Takes descriptors and becomes a program; what `run --fd-store-max` starts
    #[command(hide = true)]
    Launch {
        /// Socket at which they are passed
        #[arg(long, value_name = "PATH")]
        socket: PathBuf,
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "PROGRAM")]
        program: Vec<OsString>,
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

#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// Name of the service: 1 to 58 letters, digits and -_.
    #[arg(long)]
    pub(crate) name: String,

    /// The folder; made if its own folder is there [default: /dev/shm/NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Socket of luod [default: $LIVEUPDATE_SOCKET or /run/luod/liveupdate.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Signal that makes the program write its state and end
    #[arg(long, value_name = "NAME", default_value = "TERM", value_parser = signal)]
    pub(crate) stop_signal: Signal,

    /// Longest time it takes to end, in seconds; an update is refused if it takes longer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) stop_timeout: Duration,

    /// Shortest time between its end and its next start, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub(crate) restart_after: Duration,

    /// Most descriptors that the program may store, as with FileDescriptorStoreMax= of systemd; up to 253. It is told
    /// $NOTIFY_SOCKET and finds what it stored from descriptor 3 on, with $LISTEN_FDS and $LISTEN_FDNAMES
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=253))]
    pub(crate) fd_store_max: u16,

    /// The program and its arguments; $LIVEUPDATE_DIR is the folder
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_error| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn signal(text: &str) -> Result<Signal, String> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    Ok(match name {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "QUIT" => Signal::QUIT,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        _ => return Err("one of TERM, INT, HUP, QUIT, USR1, USR2".to_owned()),
    })
}
