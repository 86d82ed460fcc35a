//! Every descriptor twice: here and in the holder.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use live_varlink::{CallError, Client};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

use crate::holder::{GET, LIST, Listing, Name, PUT, REMOVE};

/// Time a new holder has to listen.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Starts a holder that will listen on the path given.
type Launch = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// What goes wrong between `luod` and its holder.
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
        source: io::Error,
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
}

/// Keeps descriptors by name, here and in the holder.
pub struct Keeper {
    socket: PathBuf,
    launch: Launch,
    inner: Mutex<Inner>,
}

struct Inner {
    mirror: BTreeMap<String, Arc<OwnedFd>>,
    client: Client,
    holder_pid: u32,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("socket", &self.socket)
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
        let socket = Self::socket(runtime_dir);
        let begin = Instant::now();
        let inner = loop {
            let Ok(client) = Client::connect(&socket) else {
                break adopt(start(&socket, &launch)?)?;
            };
            match adopt(client) {
                Ok(inner) => break inner,
                // It was dying when it took the connection; soon there is nobody to connect to.
                Err(error) if begin.elapsed() > START_PATIENCE => return Err(error),
                Err(_error) => thread::sleep(Duration::from_millis(10)),
            }
        };
        tracing::debug!(pid = inner.holder_pid, "connected to the holder");
        let inner = Mutex::new(inner);
        Ok(Self {
            socket,
            launch,
            inner,
        })
    }

    /// Where a holder of `runtime_dir` listens.
    pub fn socket(runtime_dir: &Path) -> PathBuf {
        runtime_dir.join("holder.sock")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of the holder's socket.
    pub fn runtime_dir(&self) -> &Path {
        self.socket.parent().unwrap_or(Path::new("/"))
    }

    /// Process id of the holder.
    pub fn holder_pid(&self) -> u32 {
        self.inner().holder_pid
    }

    /// Names of everything kept.
    pub fn names(&self) -> Vec<String> {
        self.inner().mirror.keys().cloned().collect()
    }

    /// The descriptor of this name.
    pub fn get(&self, name: &str) -> Option<Arc<OwnedFd>> {
        self.inner().mirror.get(name).cloned()
    }

    /// Keeps `fd`; one of the same name is replaced.
    ///
    /// # Errors
    /// [`KeeperError`]: it is kept here only, and so is not safe.
    pub fn put(&self, name: &str, fd: OwnedFd) -> Result<(), KeeperError> {
        let mut inner = self.inner();
        let fd = Arc::new(fd);
        inner.mirror.insert(name.to_owned(), Arc::clone(&fd));
        if put(&mut inner.client, name, &fd).is_ok() {
            return Ok(());
        }
        // The holder died: the new one gets everything, this one included.
        self.revive(&mut inner)
    }

    /// Closes both duplicates.
    pub fn remove(&self, name: &str) {
        let mut inner = self.inner();
        inner.mirror.remove(name);
        let request = json!({ "name": name });
        if inner.client.call::<Value>(REMOVE, &request, &[]).is_err() {
            if let Err(error) = self.revive(&mut inner) {
                tracing::error!(%error, "the holder is gone");
            }
        }
    }

    /// Starts a new holder and gives it everything.
    fn revive(&self, inner: &mut Inner) -> Result<(), KeeperError> {
        tracing::warn!(
            pid = inner.holder_pid,
            "the holder is gone, starting another"
        );
        let mut client = start(&self.socket, &self.launch)?;
        for (name, fd) in &inner.mirror {
            put(&mut client, name, fd)?;
        }
        inner.holder_pid = list(&mut client)?.pid;
        inner.client = client;
        Ok(())
    }

    /// Watches the holder and replaces it when it dies; never returns.
    pub fn watch(&self) {
        loop {
            let pid = self.holder_pid();
            wait_for_end(pid);
            let mut inner = self.inner();
            if inner.holder_pid != pid {
                // Somebody noticed first.
                continue;
            }
            if let Err(error) = self.revive(&mut inner) {
                tracing::error!(%error, "no new holder; luod must not die now");
                drop(inner);
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

/// Takes a duplicate of everything a holder has.
fn adopt(mut client: Client) -> Result<Inner, KeeperError> {
    let listing = list(&mut client)?;
    let mut mirror = BTreeMap::new();
    for name in listing.names {
        let fd = get(&mut client, &name)?;
        mirror.insert(name, Arc::new(fd));
    }
    Ok(Inner {
        mirror,
        client,
        holder_pid: listing.pid,
    })
}

fn wait_for_end(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return;
    };
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    while poll(&mut fds, None) == Err(rustix::io::Errno::INTR) {}
}

/// Starts a holder and waits until it listens.
fn start(socket: &Path, launch: &Launch) -> Result<Client, KeeperError> {
    let wrap = |source| KeeperError::Start {
        socket: socket.to_owned(),
        source,
    };
    if let Err(error) = std::fs::remove_file(socket) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(wrap(error));
        }
    }
    launch(socket).map_err(wrap)?;
    let begin = Instant::now();
    loop {
        match Client::connect(socket) {
            Ok(client) => return Ok(client),
            Err(_error) if begin.elapsed() < START_PATIENCE => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(_error) => return Err(wrap(io::ErrorKind::TimedOut.into())),
        }
    }
}

fn list(client: &mut Client) -> Result<Listing, KeeperError> {
    let answer = client.call(LIST, &json!({}), &[]);
    answer
        .map(|(listing, _)| listing)
        .map_err(|source| KeeperError::Call {
            method: LIST,
            source,
        })
}

fn get(client: &mut Client, name: &str) -> Result<OwnedFd, KeeperError> {
    let request = Name {
        name: name.to_owned(),
    };
    let answer = client.call::<Value>(GET, &request, &[]);
    let (_, fds) = answer.map_err(|source| KeeperError::Call {
        method: GET,
        source,
    })?;
    fds.into_iter().next().ok_or_else(|| KeeperError::Missing {
        name: name.to_owned(),
    })
}

fn put(client: &mut Client, name: &str, fd: &OwnedFd) -> Result<(), KeeperError> {
    let request = Name {
        name: name.to_owned(),
    };
    let answer = client.call::<Value>(PUT, &request, &[fd.as_fd()]);
    answer.map(drop).map_err(|source| KeeperError::Call {
        method: PUT,
        source,
    })
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
    fn a_new_holder_gets_everything() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(dir.path(), launch()).unwrap();
        keeper.put("a", memfd("one")).unwrap();
        keeper.revive(&mut keeper.inner()).unwrap();
        let other = Keeper::open(dir.path(), launch()).unwrap();
        assert_eq!(text(&other.get("a").unwrap()), "one");
    }
}
