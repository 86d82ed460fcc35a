//! The holder process, as its luod sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use live_varlink::Client;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};

use crate::holder::{GET, LIST, Listing, Name, PUT, REMOVE};
use crate::keeper::KeeperError;

/// Time a new holder has to listen.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Starts a holder that will listen on the path given.
pub(super) type Launch = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

pub(super) type Mirror = BTreeMap<String, Arc<OwnedFd>>;

/// A connection to the holder, and how another is started.
pub(super) struct HolderProcess {
    socket: PathBuf,
    launch: Launch,
    client: Client,
    pid: u32,
    /// Something was sent that is not known to be held yet.
    is_telling: bool,
}

impl HolderProcess {
    /// Connects to the holder, or starts one; with a duplicate of everything it holds.
    pub(super) fn open(socket: PathBuf, launch: Launch) -> Result<(Self, Mirror), KeeperError> {
        let begin = Instant::now();
        let (client, pid, mirror) = loop {
            let Ok(client) = Client::connect(&socket) else {
                break adopt(start(&socket, &launch)?)?;
            };
            match adopt(client) {
                Ok(adopted) => break adopted,
                // It was dying when it took the connection; soon there is nobody to connect to.
                Err(error) if begin.elapsed() > START_PATIENCE => return Err(error),
                Err(_error) => thread::sleep(Duration::from_millis(10)),
            }
        };
        tracing::debug!(pid, "connected to the holder");
        let holder = Self {
            socket,
            launch,
            client,
            pid,
            is_telling: false,
        };
        Ok((holder, mirror))
    }

    /// Connects to the holder if there is one; with a duplicate of everything it holds.
    pub(super) fn find(socket: &Path) -> Result<Option<(u32, Mirror)>, KeeperError> {
        match Client::connect(socket) {
            Ok(client) => adopt(client).map(|(_client, pid, mirror)| Some((pid, mirror))),
            Err(_nobody) => Ok(None),
        }
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn put(&mut self, name: &str, fd: &OwnedFd) -> Result<(), KeeperError> {
        put(&mut self.client, name, fd)
    }

    /// The same without waiting. Once this returns the descriptor is on its way to the holder, which gets it whatever becomes
    /// of this process; whether the holder has taken it is known after [`Self::has_all`].
    pub(super) fn put_soon(&mut self, name: &str, fd: &OwnedFd) -> Result<(), KeeperError> {
        let request = Name {
            name: name.to_owned(),
        };
        self.is_telling = true;
        let sent = self.client.tell(PUT, &request, fd.as_fd());
        sent.map_err(|error| KeeperError::Call {
            method: PUT,
            source: error.into(),
        })
    }

    /// Waits until everything sent has arrived; whether the holder has all of `mirror`.
    pub(super) fn has_all(&mut self, mirror: &Mirror) -> Result<bool, KeeperError> {
        if !self.is_telling {
            return Ok(true);
        }
        let held: BTreeSet<String> = list(&mut self.client)?.names.into_iter().collect();
        let has_all = mirror.keys().all(|name| held.contains(name));
        self.is_telling = !has_all;
        Ok(has_all)
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<(), KeeperError> {
        let request = json!({ "name": name });
        let answer = self.client.call::<Value>(REMOVE, &request, &[]);
        answer.map(drop).map_err(|source| KeeperError::Call {
            method: REMOVE,
            source,
        })
    }

    /// Starts a new holder and gives it everything.
    pub(super) fn revive(&mut self, mirror: &Mirror) -> Result<(), KeeperError> {
        tracing::warn!(pid = self.pid, "the holder is gone, starting another");
        let mut client = start(&self.socket, &self.launch)?;
        for (name, fd) in mirror {
            put(&mut client, name, fd)?;
        }
        self.pid = list(&mut client)?.pid;
        self.client = client;
        self.is_telling = false;
        Ok(())
    }
}

/// Takes a duplicate of everything a holder has.
fn adopt(mut client: Client) -> Result<(Client, u32, Mirror), KeeperError> {
    let listing = list(&mut client)?;
    let mut mirror = BTreeMap::new();
    for name in listing.names {
        let fd = get(&mut client, &name)?;
        mirror.insert(name, Arc::new(fd));
    }
    Ok((client, listing.pid, mirror))
}

/// Ends a holder, when everything it has is elsewhere.
pub(super) fn end(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let ended = pid.map(|pid| kill_process(pid, Signal::TERM));
    if let Some(Err(errno)) = ended {
        tracing::warn!(%errno, "the holder stays, with duplicates of everything");
    }
}

pub(super) fn wait_for_end(pid: u32) {
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
