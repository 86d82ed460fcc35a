//! Starting and serving.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, bail};
use live_varlink::Server;
use luod_engine::{
    Engine, History, Keeper, Limits, LinuxHost, Programs, SERVER_INFO, ServiceManager, Wire, holder,
};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getrlimit, setrlimit, waitpid};
use systemd_host::FdStore;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Cli;
use crate::{replace, supervised};

/// Logs to standard error, without colours: a supervisor collects it.
pub(crate) fn log(filter: &Targets) {
    let output = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(output.with_filter(filter.clone()))
        .init();
}

/// `luod hold`.
pub(crate) fn hold(socket: &Path) -> anyhow::Result<()> {
    raise_descriptor_limit();
    become_holder();
    holder::run(socket).with_context(|| format!("holding at {}", socket.display()))
}

fn become_holder() {
    // Started as /proc/self/exe, or copied: without this, ps and pkill would know it as `exe` or `luod`.
    if let Err(errno) = rustix::thread::set_name(c"luod-holder") {
        tracing::debug!(%errno, "the process keeps its name");
    }
    // Out of the session and process group of luod: what ends one must not end the other.
    if let Err(errno) = rustix::process::setsid() {
        tracing::debug!(%errno, "already a session of its own");
    }
}

/// `luod`.
pub(crate) fn serve(cli: &Cli) -> anyhow::Result<()> {
    // Before anything else is opened: what systemd passed is open already.
    let store = FdStore::open().context("taking what systemd stored")?;
    raise_descriptor_limit();
    let dir = &cli.runtime_dir;
    make_dir(dir).with_context(|| format!("making the folder {}", dir.display()))?;
    let socket = cli
        .socket
        .clone()
        .unwrap_or_else(|| dir.join("liveupdate.sock"));
    if cli.replace {
        replace::end_other(&socket)?;
    }
    if store.is_none()
        && let Some(listener) = copy_holder(&Keeper::socket(dir))
    {
        return hold_in_copy(&listener);
    }
    // Whoever is given a session of its own preserves in it without luod's limits: root only, unless root opens it.
    let agent = listen(&dir.join("luo-agent.sock"), 0o600)?;
    // Everybody may speak: who may do what is decided by the peer's credentials.
    let listener = listen(&socket, 0o666)?;
    tracing::debug!(socket = %socket.display(), "listening");
    let (keeper, service_manager) = match store {
        None => (Keeper::open(dir, Box::new(launch_holder))?, None),
        Some((store, found)) => {
            let manager = Arc::new(ServiceManager::start(dir)?);
            (Keeper::in_store(dir, store, found)?, Some(manager))
        }
    };
    let host = match &service_manager {
        None => LinuxHost::new(),
        Some(manager) => LinuxHost::under(Arc::clone(manager)),
    };
    let programs = Programs::in_folder(cli.programs_dir.clone());
    let history = History::in_folder(cli.state_dir.clone());
    let limits = Limits::read(&cli.config)?;
    let engine = Arc::new(Engine::start(
        Box::new(host),
        keeper,
        history,
        programs,
        limits,
    )?);
    let keeper = engine.keeper();
    thread::Builder::new()
        .name("holder watch".to_owned())
        .spawn(move || keeper.watch())?;
    let booted = Arc::clone(&engine);
    thread::Builder::new()
        .name("programs".to_owned())
        .spawn(move || booted.boot_programs())?;
    let looking = Arc::clone(&engine);
    thread::Builder::new()
        .name("look back".to_owned())
        .spawn(move || looking.look_back())?;
    serve_agents(&engine, agent)?;
    supervised::start(&engine, service_manager)?;
    tracing::info!(socket = %socket.display(), "luod serves");
    Server::new(Arc::new(Wire(engine)), SERVER_INFO)
        .run(&listener)
        .context("accepting connections")
}

/// Serves the clients of luo-agent's protocol in a thread of its own.
fn serve_agents(engine: &Arc<Engine>, listener: UnixListener) -> io::Result<()> {
    let engine = Arc::clone(engine);
    let serve = move || {
        if let Err(error) = luod_engine::serve_luo_agent(&engine, &listener) {
            tracing::error!(%error, "luo-agent's protocol is served no more");
        }
    };
    let thread = thread::Builder::new().name("luo-agent".to_owned());
    thread.spawn(serve).map(drop)
}

/// Makes a copy of this process the holder when there is none; in the copy, `Some` with what it
/// listens on.
///
/// A copy need not be started as a program: after a jump that time is a part of the blackout that
/// every service waits for. Whatever goes wrong here, [`Keeper::open`] starts a holder in its own
/// way.
fn copy_holder(socket: &Path) -> Option<UnixListener> {
    if UnixStream::connect(socket).is_ok() {
        return None;
    }
    // Left by a holder that is gone. It is bound here, so that the keeper need not wait for the copy.
    let _absent = fs::remove_file(socket);
    let listener = match holder::bind(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::debug!(%error, "no copy");
            return None;
        }
    };
    match fork_sys::fork() {
        Ok(fork_sys::Side::Child) => Some(listener),
        Ok(fork_sys::Side::Parent(pid)) => {
            tracing::debug!(pid, "copied as the holder");
            // Its end is noticed by the keeper; this keeps it from staying a zombie.
            thread::spawn(move || reap(pid));
            None
        }
        Err(error) => {
            tracing::debug!(%error, "no copy");
            let _unused = fs::remove_file(socket);
            None
        }
    }
}

/// The copy's part: everything that is the holder's own, then holding.
fn hold_in_copy(listener: &UnixListener) -> anyhow::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    become_holder();
    holder::serve(listener).context("holding")
}

fn reap(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    while let Err(Errno::INTR) = waitpid(pid, WaitOptions::empty()) {}
}

/// Every session and every kept file is a descriptor, twice during an update.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(errno) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%errno, "the limit on open files stays");
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

/// Binds the socket; one left by a dead luod is replaced, one with a living luod is not.
fn listen(socket: &Path, mode: u32) -> anyhow::Result<UnixListener> {
    if UnixStream::connect(socket).is_ok() {
        bail!(
            "another luod listens on {}; end it first, or start this one with --replace",
            socket.display()
        );
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("replacing {}", socket.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("listening on {}; is its folder writable?", socket.display()))?;
    fs::set_permissions(socket, Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Starts `luod hold` as a process of its own.
fn launch_holder(socket: &Path) -> io::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("luod-holder")
        .arg("hold")
        .arg("--socket")
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    // Whenever it ends, it must not stay a zombie.
    thread::spawn(move || child.wait());
    Ok(())
}
