//! Services that keep a file over updates by what systemd 262 has, without luod.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::process::exit;
use std::thread;

use anyhow::{Context as _, bail};
use luo_sys::{Incoming, Outgoing, Session, Token};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use sd_notify::NotifyState;

use crate::content::{Kind, seed};
use crate::say;

/// What is kept.
const KIND: Kind = Kind::Full(4);
const BYTES: u64 = 4 << 20;
/// Name of the file in the store.
const FILE: &str = "file";
/// Name of the session, as in `LUOSession=`.
const SESSION: &str = "state";
/// Token of the file in the session.
const TOKEN: Token = Token(1);
/// Asks systemd for another start, with `RestartForceExitStatus=`.
const AGAIN: i32 = 77;

/// The file stays in the store; systemd preserves it.
pub(crate) fn in_store() -> anyhow::Result<()> {
    let passed = listen_sys::take()?
        .into_iter()
        .find(|(name, _)| name == FILE);
    let file = match passed {
        Some((_, fd)) => verify("in-store", fd)?,
        None => {
            let file = create("in-store")?;
            store(FILE, &file)?;
            file
        }
    };
    serve("in-store", &file)
}

/// The file is in a session that systemd made. After a kexec that session is an incoming one, in
/// which nothing can be preserved, and systemd would hand it out again at every start: so the file
/// goes into the store, the session is finished and leaves it, and the next start gets a fresh one.
pub(crate) fn in_session() -> anyhow::Result<()> {
    let (mut session, mut file) = (None, None);
    for (name, fd) in listen_sys::take()? {
        match name.as_str() {
            SESSION => session = Some(fd),
            FILE => file = Some(fd),
            other => bail!("a descriptor called {other:?}"),
        }
    }
    let session = session.context("systemd gave no session")?;
    let incoming = Session::<Incoming>::from_fd(session.as_fd().try_clone_to_owned()?);
    if let Ok(came_over) = incoming.retrieve(TOKEN) {
        let came_over = verify("in-session", came_over)?;
        store(FILE, &came_over)?;
        incoming.finish()?;
        forget(SESSION)?;
        say!("in-session: again, for a fresh session");
        sd_notify::notify(&[NotifyState::Ready])?;
        exit(AGAIN);
    }
    let file = match file {
        Some(file) => File::from(file),
        None => create("in-session")?,
    };
    let outgoing = Session::<Outgoing>::from_fd(session);
    outgoing.preserve(&file, TOKEN)?;
    // What is preserved twice is warned about.
    forget(FILE)?;
    serve("in-session", &file)
}

fn create(name: &str) -> anyhow::Result<File> {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, BYTES)?;
    KIND.fill(fd.as_fd(), seed(name, FILE))?;
    Ok(File::from(fd))
}

/// What came over is what was filled, but for the first word, which counts the kernels it has seen.
fn verify(name: &str, fd: OwnedFd) -> anyhow::Result<File> {
    let file = File::from(fd);
    let filled = word(&create(name)?)?;
    let number = word(&file)?.wrapping_sub(filled).wrapping_add(1);
    file.write_all_at(&filled.to_le_bytes(), 0)?;
    KIND.verify(file.as_fd(), seed(name, FILE))?;
    file.write_all_at(&filled.wrapping_add(number).to_le_bytes(), 0)?;
    say!("{name}: verified, number {number}");
    Ok(file)
}

fn word(file: &File) -> anyhow::Result<u64> {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 0)?;
    Ok(u64::from_le_bytes(word))
}

fn store(name: &str, file: &File) -> anyhow::Result<()> {
    let state = [NotifyState::FdStore, NotifyState::FdName(name)];
    Ok(sd_notify::notify_with_fds(&state, &[file.as_fd()])?)
}

fn forget(name: &str) -> anyhow::Result<()> {
    Ok(sd_notify::notify(&[
        NotifyState::FdStoreRemove,
        NotifyState::FdName(name),
    ])?)
}

fn serve(name: &str, _kept: &File) -> anyhow::Result<()> {
    say!("{name}: ready");
    sd_notify::notify(&[NotifyState::Ready])?;
    loop {
        thread::park();
    }
}
