//! The engine itself: its parts, its lock, and saving what must survive.

use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use live_varlink::Peer;
use luod_api::{Code, Refusal};
use update::ServiceName;

use crate::guard::Guard;
use crate::history::History;
use crate::host::Host;
use crate::journal_file::{JournalFile, SaveError};
use crate::keeper::{Keeper, KeeperError};
use crate::limits::Limits;
use crate::programs::Programs;
use crate::sealed::SealedError;
use crate::shadow::Shadow;
use crate::state::State;

/// Name of the journal's own session in the holder.
pub(crate) const JOURNAL_SESSION: &str = "journal-session";

/// Start of the names of services' sessions in the holder.
pub(crate) const SESSION_KEYS: &str = "session/";

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The holder.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The journal the last `luod` left with the holder.
    #[error("the journal kept by the holder process cannot be read")]
    Journal(#[from] SealedError),
    /// The first state could not be saved.
    #[error("saving the journal")]
    Save(#[source] Refusal),
}

/// The engine: shared by every connection's thread.
pub struct Engine {
    pub(crate) host: Box<dyn Host>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) history: History,
    pub(crate) programs: Programs,
    pub(crate) limits: Limits,
    journal_file: Mutex<JournalFile>,
    state: Mutex<State>,
    /// Told whenever a barrier may have an outcome.
    pub(crate) changed: Condvar,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("keeper", &self.keeper)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts with what the holder has from an earlier `luod`, or with what the previous kernel
    /// handed over, or with nothing.
    ///
    /// # Errors
    /// [`StartError`]. A handover that cannot be read is none: it is reported by every call that
    /// would make its loss final.
    pub fn start(
        host: Box<dyn Host>,
        keeper: Keeper,
        history: History,
        programs: Programs,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let engine = Self {
            host,
            journal_file: Mutex::new(JournalFile::new(Shadow::new(keeper.runtime_dir()))),
            history,
            programs,
            limits,
            keeper: Arc::new(keeper),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        engine.recover()?;
        Ok(engine)
    }

    /// The keeper, for the thread that watches the holder.
    pub fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.keeper)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves the journal where the next `luod` finds it.
    pub(crate) fn save(&self, state: &State) -> Result<(), Refusal> {
        let saved = self.journal_file().save(&state.journal, &self.keeper);
        saved.map_err(|error| match error {
            SaveError::Keeper(error) => refusal_of(error),
            error => internal(&error),
        })?;
        self.host.guard(Guard::of(state));
        Ok(())
    }

    pub(crate) fn journal_file(&self) -> MutexGuard<'_, JournalFile> {
        let file = self.journal_file.lock();
        file.unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a descriptor here and in the holder.
    pub(crate) fn keep(&self, name: &str, fd: OwnedFd) -> Result<(), Refusal> {
        self.keeper.put(name, fd).map_err(refusal_of)
    }

    /// The same for one of many: [`Keeper::settle`] waits for them.
    pub(crate) fn keep_soon(&self, name: &str, fd: OwnedFd) -> Result<(), Refusal> {
        self.keeper.put_soon(name, fd).map_err(refusal_of)
    }

    /// A duplicate of a kept descriptor.
    pub(crate) fn kept(&self, name: &str) -> Result<OwnedFd, Refusal> {
        let fd = self.keeper.get(name).ok_or_else(|| {
            Refusal::new(Code::Internal, format!("no descriptor is held for {name}"))
        })?;
        fd.as_fd()
            .try_clone_to_owned()
            .map_err(|error| internal(&error))
    }

    /// Refuses unless the connection speaks for `service`.
    pub(crate) fn check_attached(
        &self,
        state: &State,
        peer: &Peer,
        service: &str,
    ) -> Result<(), Refusal> {
        if state
            .connections
            .get(&peer.connection)
            .is_some_and(|own| own == service)
        {
            return Ok(());
        }
        let text = format!("this connection does not speak for {service:?}");
        Err(Refusal::new(Code::PermissionDenied, text).with_hint("call Attach first"))
    }
}

/// Name of an item in the holder.
pub(crate) fn item_key(service: &str, item: &str) -> String {
    format!("item/{service}/{item}")
}

/// Name of a session in the holder.
pub(crate) fn session_key(service: &str) -> String {
    format!("{SESSION_KEYS}{service}")
}

/// A service's name, checked.
pub(crate) fn service_name(name: &str) -> Result<ServiceName, Refusal> {
    ServiceName::new(name).map_err(|error| {
        Refusal::new(
            Code::InvalidParameter,
            format!("{name:?} is no name for a service: {error}"),
        )
    })
}

/// What a caller is told when a descriptor cannot be held.
fn refusal_of(error: KeeperError) -> Refusal {
    match error {
        KeeperError::Store(systemd_host::Error::StoreFull { .. }) => {
            Refusal::new(Code::LimitReached, internal(&error).message)
        }
        error => internal(&error),
    }
}

/// A failure that is no fault of the caller's, with its causes.
pub(crate) fn internal(error: &dyn std::error::Error) -> Refusal {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Refusal::new(Code::Internal, text)
}
