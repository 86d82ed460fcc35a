//! A store kept in the kernel without an agent: one session, whose descriptor this program holds.
//!
//! Token 0 of the session is a list of the items, JSON in a memfd behind the length of the list;
//! items have the tokens from 1.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use luo_sys::{Device, Incoming, Outgoing, Session, SessionName, Token};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::item::{Item, Origin, check_unchanged};
use crate::spec::{MemfdSpec, Seals, size_of};

/// How long another program may keep the device open.
const DEVICE_PATIENCE: Duration = Duration::from_secs(1);
/// Token of the list.
const LIST_TOKEN: Token = Token(0);
/// Longest list read.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// The items of one session.
#[derive(Debug)]
pub(crate) struct Direct {
    name: SessionName,
    incoming: Option<Session<Incoming>>,
    /// What came over and was not retrieved.
    waiting: BTreeMap<String, Entry>,
    /// What is to be preserved: entry and descriptor.
    held: BTreeMap<String, (Entry, OwnedFd)>,
}

/// An item in the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    token: u64,
    schema: u32,
    size_bytes: u64,
    #[serde(default)]
    seals: u32,
}

/// The list. Fields added later have defaults.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    items: Vec<Entry>,
}

impl Direct {
    /// Takes the session of this name if it came over.
    pub(crate) fn open(name: &str) -> Result<Self, Error> {
        let name = SessionName::new(name)?;
        let device = Device::open_within(DEVICE_PATIENCE)?;
        let incoming = match device.retrieve_session(&name) {
            Ok(session) => Some(session),
            Err(error) if error.errno() == Errno::NOENT => None,
            Err(error) => return Err(error.into()),
        };
        let mut waiting = BTreeMap::new();
        if let Some(session) = &incoming {
            for entry in read_list(session.retrieve(LIST_TOKEN)?)?.items {
                waiting.insert(entry.name.clone(), entry);
            }
        }
        Ok(Self {
            name,
            incoming,
            waiting,
            held: BTreeMap::new(),
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.held
            .keys()
            .chain(self.waiting.keys())
            .cloned()
            .collect()
    }

    pub(crate) fn memfd(&mut self, name: &str, spec: &MemfdSpec) -> Result<Item, Error> {
        let (entry, fd, origin) = self.take(name, spec)?;
        let duplicate = duplicate(fd.as_fd())?;
        let (schema, size_bytes) = (entry.schema, entry.size_bytes);
        self.held.insert(name.to_owned(), (entry, duplicate));
        self.waiting.remove(name);
        Ok(Item {
            fd,
            origin,
            schema,
            size_bytes,
        })
    }

    fn take(&self, name: &str, spec: &MemfdSpec) -> Result<(Entry, OwnedFd, Origin), Error> {
        if let (Some(entry), Some(session)) = (self.waiting.get(name), &self.incoming) {
            spec.check(name, entry.schema, entry.size_bytes)?;
            let fd = session.retrieve(Token(entry.token))?;
            check_unchanged(name, &fd, entry.size_bytes, Seals::from_bits(entry.seals))?;
            return Ok((entry.clone(), fd, Origin::Updated));
        }
        if let Some((entry, fd)) = self.held.get(name) {
            // Asked for again: the same file, whatever its size is by now.
            let entry = Entry {
                size_bytes: size_of(fd)?,
                ..entry.clone()
            };
            spec.check(name, entry.schema, entry.size_bytes)?;
            return Ok((entry, duplicate(fd.as_fd())?, Origin::Kept));
        }
        let fd = spec.create(name)?;
        let entry = Entry {
            name: name.to_owned(),
            token: self.free_token(),
            schema: spec.newest_schema(),
            size_bytes: size_of(&fd)?,
            seals: Seals::of(&fd)?.bits(),
        };
        Ok((entry, fd, Origin::New))
    }

    fn free_token(&self) -> u64 {
        let held = self.held.values().map(|(entry, _)| entry.token);
        let waiting = self.waiting.values().map(|entry| entry.token);
        held.chain(waiting)
            .max()
            .map_or(1, |token| token.saturating_add(1))
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.held.remove(name);
        self.waiting.remove(name);
    }

    /// Finishes the session that came over.
    pub(crate) fn finish(&mut self, discard: &[&str]) -> Result<(), Error> {
        let left = self
            .waiting
            .keys()
            .filter(|name| !discard.contains(&name.as_str()));
        let items: Vec<_> = left.cloned().collect();
        if !items.is_empty() {
            return Err(Error::NotRetrieved { items });
        }
        if let Some(session) = &self.incoming {
            session.finish()?;
        }
        self.incoming = None;
        self.waiting.clear();
        Ok(())
    }

    /// Preserves every item in a new session; it stays so until that session is dropped.
    pub(crate) fn preserve(&self) -> Result<Session<Outgoing>, Error> {
        let device = Device::open_within(DEVICE_PATIENCE)?;
        let session = device.create_session(&self.name)?;
        drop(device);
        let mut list = List::default();
        for (entry, fd) in self.held.values() {
            session.preserve(fd, Token(entry.token))?;
            // Now its size and seals are final.
            let (size_bytes, seals) = (size_of(fd)?, Seals::of(fd)?.bits());
            list.items.push(Entry {
                size_bytes,
                seals,
                ..entry.clone()
            });
        }
        session.preserve(write_list(&list)?.as_fd(), LIST_TOKEN)?;
        Ok(session)
    }
}

fn write_list(list: &List) -> Result<OwnedFd, Error> {
    let bytes = serde_json::to_vec(list).map_err(Error::Manifest)?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut file = File::from(MemfdSpec::new(size).create("liveupdate-list")?);
    file.write_all(&bytes).map_err(memfd_io)?;
    Ok(file.into())
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    fd.try_clone_to_owned().map_err(|error| Error::Memfd {
        call: "dup",
        errno: Errno::from_io_error(&error).unwrap_or(Errno::MFILE),
    })
}

fn read_list(fd: OwnedFd) -> Result<List, Error> {
    let mut file = File::from(fd);
    file.seek(SeekFrom::Start(0)).map_err(memfd_io)?;
    let mut bytes = Vec::new();
    file.take(MAX_LIST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(memfd_io)?;
    serde_json::from_slice(&bytes).map_err(Error::Manifest)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn memfd_io(error: std::io::Error) -> Error {
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
    Error::Memfd {
        call: "reading or writing a memfd",
        errno,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_whatever_the_position() {
        let entry = Entry {
            name: "a".into(),
            token: 7,
            schema: 1,
            size_bytes: 1 << 33,
            seals: 6,
        };
        let fd = write_list(&List { items: vec![entry] }).unwrap();
        let list = read_list(fd).unwrap();
        assert_eq!(
            (list.items[0].token, list.items[0].size_bytes),
            (7, 1 << 33)
        );
    }

    #[test]
    fn garbage_is_an_error() {
        let fd = MemfdSpec::new(64).create("zeros").unwrap();
        assert!(matches!(read_list(fd), Err(Error::Manifest(_))));
    }
}
