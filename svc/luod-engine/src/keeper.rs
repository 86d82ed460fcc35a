//! Every descriptor twice: here, and where it outlives this process.
//!
//! That is the [holder](crate::holder), a process of its own; or, for a service of systemd with
//! `FileDescriptorStoreMax=`, systemd itself.

mod process;

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use live_varlink::CallError;
use systemd_host::{Age, FdStore, Found, Kind};

use crate::engine::{JOURNAL_SESSION, SESSION_KEYS};
use crate::journal_file::JOURNAL;
use process::{HolderProcess, Launch, Mirror};

/// What goes wrong between `luod` and whoever has the duplicates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// No holder could be started.
    #[error("no holder process could be started at {}", socket.display())]
    Start {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The holder did not take or give a descriptor.
    #[error("the holder process did not answer {method}")]
    Call {
        /// What was asked.
        method: &'static str,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The holder lists a descriptor and does not give it.
    #[error("the holder process has no descriptor for {name}")]
    Missing {
        /// Its name.
        name: String,
    },
    /// systemd did not store or give a descriptor.
    #[error("systemd's store of descriptors")]
    Store(#[from] systemd_host::Error),
}

/// Keeps descriptors by name, here and elsewhere.
pub struct Keeper {
    runtime_dir: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    mirror: BTreeMap<String, Arc<OwnedFd>>,
    elsewhere: Elsewhere,
}

/// Who has the duplicates.
enum Elsewhere {
    Holder(HolderProcess),
    /// Its keys, and those of the mirror, are [`FdStore::key`]s.
    Systemd(FdStore),
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("runtime_dir", &self.runtime_dir)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Connects to the holder in `runtime_dir`, or starts one, and takes a duplicate of
    /// everything it holds.
    ///
    /// # Errors
    /// [`KeeperError`]; without a holder nothing could be kept safely.
    pub fn open(runtime_dir: &Path, launch: Launch) -> Result<Self, KeeperError> {
        let (holder, mirror) = HolderProcess::open(Self::socket(runtime_dir), launch)?;
        Ok(Self::new(runtime_dir, mirror, Elsewhere::Holder(holder)))
    }

    /// Has the duplicates in systemd's store, where `found` was.
    ///
    /// When the journal's session came over from the kernel before, so did everything else that
    /// luod preserved; what systemd itself carried over beside that is let go.
    ///
    /// What a holder in `runtime_dir` has, of a luod that was started in the initramfs, goes to the store, and the holder ends.
    ///
    /// # Errors
    /// [`KeeperError::Store`]; [`KeeperError::Call`] if there is a holder and it does not give what it has.
    pub fn in_store(
        runtime_dir: &Path,
        store: FdStore,
        found: Vec<Found>,
    ) -> Result<Self, KeeperError> {
        let of_age = |age, name| {
            let key = store_key(name);
            found.iter().any(|one| one.age == age && one.key == key)
        };
        let has_jumped =
            of_age(Age::EarlierBoot, JOURNAL_SESSION) && !of_age(Age::ThisBoot, JOURNAL);
        let mut mirror = BTreeMap::new();
        for Found { key, fd, age } in found {
            if has_jumped && age == Age::EarlierBoot && FdStore::kind_of(&key) == Kind::File {
                store.remove(&key)?;
            } else {
                mirror.insert(key, Arc::new(fd));
            }
        }
        if let Some((pid, held)) = HolderProcess::find(&Self::socket(runtime_dir))? {
            if mirror.contains_key(&store_key(JOURNAL)) {
                // Both have a history of their own; none of them may be forgotten.
                tracing::error!(pid, names = ?held.keys(), "a holder keeps what is not systemd's; it is left alone");
            } else {
                take_over(&store, &mut mirror, held)?;
                process::end(pid);
            }
        }
        Ok(Self::new(runtime_dir, mirror, Elsewhere::Systemd(store)))
    }

    fn new(
        runtime_dir: &Path,
        mirror: BTreeMap<String, Arc<OwnedFd>>,
        elsewhere: Elsewhere,
    ) -> Self {
        Self {
            runtime_dir: runtime_dir.to_owned(),
            inner: Mutex::new(Inner { mirror, elsewhere }),
        }
    }

    /// Where a holder of `runtime_dir` listens.
    pub fn socket(runtime_dir: &Path) -> PathBuf {
        runtime_dir.join("holder.sock")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of luod's sockets.
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// Process id of the holder; none where systemd has the duplicates.
    pub fn holder_pid(&self) -> Option<u32> {
        match &self.inner().elsewhere {
            Elsewhere::Holder(holder) => Some(holder.pid()),
            Elsewhere::Systemd(_) => None,
        }
    }

    /// Names of everything kept.
    pub fn names(&self) -> Vec<String> {
        self.inner().mirror.keys().cloned().collect()
    }

    /// The descriptor of this name.
    pub fn get(&self, name: &str) -> Option<Arc<OwnedFd>> {
        let inner = self.inner();
        inner.mirror.get(&inner.elsewhere.key(name)).cloned()
    }

    /// How many descriptors more can be kept under new names; `None` where nobody has set a limit.
    pub(crate) fn room(&self) -> Option<usize> {
        match &self.inner().elsewhere {
            Elsewhere::Holder(_) => None,
            Elsewhere::Systemd(store) => Some(store.room()),
        }
    }

    /// Keeps `fd`; one of the same name is replaced.
    ///
    /// # Errors
    /// [`KeeperError`]: it is kept here only, and so is not safe.
    pub fn put(&self, name: &str, fd: OwnedFd) -> Result<(), KeeperError> {
        let mut inner = self.inner();
        let key = inner.elsewhere.key(name);
        let fd = Arc::new(fd);
        let Inner { mirror, elsewhere } = &mut *inner;
        match elsewhere {
            Elsewhere::Systemd(store) => {
                // What systemd does not take is not kept at all.
                store.put(&key, fd.as_fd())?;
                mirror.insert(key, fd);
                Ok(())
            }
            Elsewhere::Holder(holder) => {
                mirror.insert(key.clone(), Arc::clone(&fd));
                if holder.put(&key, &fd).is_ok() {
                    return Ok(());
                }
                // The holder died: the new one gets everything, this one included.
                holder.revive(mirror)
            }
        }
    }

    /// The same for one of many, without waiting until it has arrived: [`Self::settle`] does. It gets there even if luod
    /// ends at once.
    ///
    /// # Errors
    /// [`KeeperError`]: it is kept here only, and so is not safe.
    pub(crate) fn put_soon(&self, name: &str, fd: OwnedFd) -> Result<(), KeeperError> {
        let mut inner = self.inner();
        let Inner { mirror, elsewhere } = &mut *inner;
        let Elsewhere::Holder(holder) = elsewhere else {
            drop(inner);
            // systemd is never waited for.
            return self.put(name, fd);
        };
        let fd = Arc::new(fd);
        mirror.insert(name.to_owned(), Arc::clone(&fd));
        let sent = holder.put_soon(name, &fd);
        sent.or_else(|_gone| holder.revive(mirror))
    }

    /// Closes both duplicates.
    pub fn remove(&self, name: &str) {
        let mut inner = self.inner();
        let key = inner.elsewhere.key(name);
        inner.mirror.remove(&key);
        let Inner { mirror, elsewhere } = &mut *inner;
        let answer = match elsewhere {
            Elsewhere::Systemd(store) => store.remove(&key).map_err(KeeperError::from),
            Elsewhere::Holder(holder) => {
                let removed = holder.remove(&key);
                removed.or_else(|_gone| holder.revive(mirror))
            }
        };
        if let Err(error) = answer {
            tracing::error!(%error, name, "the duplicate elsewhere was not closed");
        }
    }

    /// Waits until what was kept has arrived elsewhere, and what was removed is closed there too: before that a session's
    /// name is taken.
    ///
    /// # Errors
    /// systemd does not work off what it was sent; there is no holder.
    pub(crate) fn settle(&self) -> Result<(), KeeperError> {
        let mut inner = self.inner();
        let Inner { mirror, elsewhere } = &mut *inner;
        match elsewhere {
            Elsewhere::Holder(holder) => match holder.has_all(mirror) {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => holder.revive(mirror),
            },
            Elsewhere::Systemd(store) => Ok(store.settle()?),
        }
    }

    /// Leaves in systemd's store what is to come over a kexec, which is sessions: files are in
    /// them already, and systemd would warn that it cannot preserve them once more.
    pub(crate) fn leave_sessions(&self) {
        let inner = self.inner();
        let Elsewhere::Systemd(store) = &inner.elsewhere else {
            return;
        };
        let keys = inner.mirror.keys();
        for key in keys.filter(|key| FdStore::kind_of(key) == Kind::File) {
            if let Err(error) = store.remove(key) {
                tracing::warn!(%error, key, "systemd will try to carry it over");
            }
        }
    }

    /// Undoes [`Self::leave_sessions`].
    ///
    /// # Errors
    /// [`KeeperError::Store`].
    pub(crate) fn take_back(&self) -> Result<(), KeeperError> {
        let inner = self.inner();
        if let Elsewhere::Systemd(store) = &inner.elsewhere {
            for (key, fd) in &inner.mirror {
                if !store.has(key) {
                    store.put(key, fd.as_fd())?;
                }
            }
        }
        Ok(())
    }

    /// Watches the holder and replaces it when it dies; returns only where there is none.
    pub fn watch(&self) {
        while let Some(pid) = self.holder_pid() {
            process::wait_for_end(pid);
            let mut inner = self.inner();
            let Inner { mirror, elsewhere } = &mut *inner;
            let Elsewhere::Holder(holder) = elsewhere else {
                return;
            };
            if holder.pid() != pid {
                // Somebody noticed first.
                continue;
            }
            if let Err(error) = holder.revive(mirror) {
                tracing::error!(%error, "no new holder; luod must not die now");
                drop(inner);
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

impl Elsewhere {
    /// A name as it is known there.
    fn key(&self, name: &str) -> String {
        match self {
            Self::Holder(_) => name.to_owned(),
            Self::Systemd(_) => store_key(name),
        }
    }
}

/// Stores what a holder has; it is safe there when this returns.
fn take_over(store: &FdStore, mirror: &mut Mirror, held: Mirror) -> Result<(), KeeperError> {
    tracing::info!(
        count = held.len(),
        "what the holder has goes to systemd's store"
    );
    for (name, fd) in held {
        let key = store_key(&name);
        store.put(&key, fd.as_fd())?;
        mirror.insert(key, fd);
    }
    Ok(store.settle()?)
}

/// A name as systemd's store has it.
fn store_key(name: &str) -> String {
    let is_session = name == JOURNAL_SESSION || name.starts_with(SESSION_KEYS);
    let kind = if is_session {
        Kind::Session
    } else {
        Kind::File
    };
    FdStore::key(kind, name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A holder in a thread: its death is played by removing its socket and using a new keeper.
    fn launch() -> Launch {
        Box::new(|socket| {
            let listener = UnixListener::bind(socket)?;
            thread::spawn(move || crate::holder::serve(&listener));
            Ok(())
        })
    }

    fn memfd(text: &str) -> OwnedFd {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let fd = rustix::fs::memfd_create(text, flags).unwrap();
        rustix::io::write(&fd, text.as_bytes()).unwrap();
        fd
    }

    fn text(fd: &OwnedFd) -> String {
        let mut bytes = [0; 64];
        let len = rustix::io::pread(fd, &mut bytes, 0).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    #[test]
    fn what_was_kept_is_there_for_the_next_luod() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keeper::open(dir.path(), launch()).unwrap();
        first.put("a", memfd("one")).unwrap();
        first.put("b", memfd("two")).unwrap();
        first.put("a", memfd("three")).unwrap();
        first.remove("b");
        drop(first);
        let refuse: Launch = Box::new(|_| panic!("the holder lives, none must be started"));
        let second = Keeper::open(dir.path(), refuse).unwrap();
        assert_eq!(second.names(), ["a"]);
        assert_eq!(text(&second.get("a").unwrap()), "three");
    }

    #[test]
    fn what_was_kept_in_a_hurry_is_there_for_the_next_luod() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keeper::open(dir.path(), launch()).unwrap();
        let names: Vec<_> = (0..300).map(|number| format!("n{number:03}")).collect();
        for name in &names {
            first.put_soon(name, memfd(name)).unwrap();
        }
        first.put("last", memfd("last")).unwrap();
        // It ends without another word.
        drop(first);
        let second = Keeper::open(dir.path(), launch()).unwrap();
        assert_eq!(second.names().len(), names.len() + 1);
        for name in &names {
            assert_eq!(text(&second.get(name).unwrap()), *name);
        }
    }

    #[test]
    fn what_the_holder_did_not_take_is_given_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(dir.path(), launch()).unwrap();
        keeper.put_soon("a", memfd("one")).unwrap();
        keeper.settle().unwrap();
        // It is taken from the holder behind luod's back, as if it had never arrived.
        let mut thief = live_varlink::Client::connect(&Keeper::socket(dir.path())).unwrap();
        let name = serde_json::json!({ "name": "a" });
        let remove = crate::holder::REMOVE;
        thief.call::<serde_json::Value>(remove, &name, &[]).unwrap();
        keeper.put_soon("b", memfd("two")).unwrap();
        keeper.settle().unwrap();
        let other = Keeper::open(dir.path(), launch()).unwrap();
        assert_eq!(other.names(), ["a", "b"]);
        assert_eq!(text(&other.get("a").unwrap()), "one");
    }

    #[test]
    fn a_new_holder_gets_everything() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(dir.path(), launch()).unwrap();
        keeper.put("a", memfd("one")).unwrap();
        let mut inner = keeper.inner();
        let Inner { mirror, elsewhere } = &mut *inner;
        let Elsewhere::Holder(holder) = elsewhere else {
            panic!("there is a holder");
        };
        holder.revive(mirror).unwrap();
        drop(inner);
        let other = Keeper::open(dir.path(), launch()).unwrap();
        assert_eq!(text(&other.get("a").unwrap()), "one");
    }
}
