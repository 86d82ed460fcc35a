//! The descriptors that the program stores, as with systemd.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::Context as _;
use fd_store::{Action, Answer, Heard, Message, Sockets, Starts, Stored};
use liveupdate::Store;

use super::Happening;

/// What this process says to itself: everything before has been heard.
const HEARD: &[u8] = b"X_LUOD_HEARD=1";

/// Something that the program wants of its store.
pub(super) struct Told {
    action: Action,
    fds: Vec<OwnedFd>,
}

/// The store of the program, and its sockets.
pub(super) struct Descriptors {
    sockets: Sockets,
    starts: Arc<Starts>,
    stored: Stored,
    limit: u16,
}

impl Descriptors {
    /// Gets what is kept, and hears the program from now on; `None` when it may store nothing.
    pub(super) fn open(
        limit: u16,
        store: &mut Store,
        sender: Sender<Happening>,
    ) -> anyhow::Result<Option<Self>> {
        if limit == 0 {
            return Ok(None);
        }
        let stored = Stored::load(store, limit.into())?;
        let sockets = Sockets::new().context("making sockets for the program")?;
        let starts = sockets.serve_starts()?;
        let (hearing, service) = (sockets.hearing()?, Arc::clone(&starts));
        thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || hear(&hearing, &service, &sender))?;
        Ok(Some(Self {
            sockets,
            starts,
            stored,
            limit,
        }))
    }

    /// What starts the program with its descriptors.
    pub(super) fn command(&self, words: &[OsString]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["launch", "--socket"])
            .arg(self.sockets.start_path())
            .arg("--")
            .args(words)
            .env("NOTIFY_SOCKET", self.sockets.notify_path())
            .env("FDSTORE", self.limit.to_string());
        command
    }

    /// Starts it: from then on its process is the one that is heard.
    pub(super) fn start<T>(
        &self,
        spawn_fn: impl FnOnce() -> anyhow::Result<(u32, T)>,
    ) -> anyhow::Result<T> {
        let passed = self.stored.passed()?;
        if !passed.is_empty() {
            tracing::info!(descriptors = passed.len(), "passed to the program");
        }
        self.starts.start(passed, spawn_fn)
    }

    /// Does what the program wants.
    pub(super) fn told(&mut self, told: Told, store: &mut Store) {
        let what = told.action.clone();
        match self.stored.work(told.action, told.fds, store) {
            Answer::Done if what == Action::Barrier => tracing::debug!("everything is worked off"),
            Answer::Done => tracing::info!(?what, "the store has changed"),
            Answer::Later => tracing::info!(?what, "waits until luod takes changes again"),
            Answer::Refused(reason) => tracing::error!(reason, "not stored, and not kept"),
        }
    }

    /// Does what waited.
    pub(super) fn catch_up(&mut self, store: &mut Store) {
        for reason in self.stored.catch_up(store) {
            tracing::error!(reason, "not stored, and not kept");
        }
    }

    /// Tells what still waits before a jump: only what was to be removed can.
    pub(super) fn settle(&self) {
        let waiting = self.stored.waiting();
        if waiting > 0 {
            tracing::warn!(
                waiting,
                "removed since PREPARE: it comes back once in the next kernel"
            );
        }
    }

    /// Has [`Happening::AllHeard`] come after everything that the program has said so far.
    pub(super) fn mark(&self) -> anyhow::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.send_to(HEARD, self.sockets.notify_path())?;
        Ok(())
    }
}

/// Hears the program, and nobody else.
fn hear(socket: &UnixDatagram, service: &Starts, sender: &Sender<Happening>) {
    let mut is_new = true;
    loop {
        let heard = match Heard::wait(socket) {
            Ok(heard) => heard,
            Err(error) => {
                tracing::warn!(%error, "a message of the program was not taken");
                continue;
            }
        };
        let own = std::process::id();
        let happening = match heard.pid {
            Some(pid) if pid == own && heard.bytes == HEARD => Happening::AllHeard,
            Some(pid) if service.is_service(pid) => match understand(heard) {
                Some(told) => Happening::Told(told),
                None => continue,
            },
            pid => {
                // Anybody can send as many as they like: the first is worth a line.
                match std::mem::take(&mut is_new) {
                    true => tracing::warn!(?pid, "messages of other processes are left out"),
                    false => tracing::debug!(?pid, "another message is left out"),
                }
                continue;
            }
        };
        if sender.send(happening).is_err() {
            return;
        }
    }
}

fn understand(heard: Heard) -> Option<Told> {
    let message = Message::parse(&heard.bytes);
    if let Some(complaint) = message.complaint {
        tracing::warn!(complaint, "a message of the program is wrong");
    }
    let fds = heard.fds;
    message.action.map(|action| Told { action, fds })
}
