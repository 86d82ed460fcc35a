//! The store of descriptors that systemd keeps for a service (`FileDescriptorStoreMax=`).
//!
//! A name in the store is `BOOT.NUMBER.KEY`: the boot it was stored in, a number that grows, and the key. So another
//! descriptor under the same key can be stored before the old one is removed, and it is known of each whether it came
//! over a kexec.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sd_notify::NotifyState;

use crate::error::Error;
use crate::notify::{self, send};

/// How many descriptors systemd stores (`sd_pid_notify_with_fds(3)`, systemd 254 and newer).
const LIMIT: &str = "FDSTORE";
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Enough digits to tell one boot from the one before it.
const BOOT_DIGITS: usize = 12;
/// Longest key as it is stored; systemd takes names of 255 bytes.
const MAX_KEY: usize = 200;

/// When a descriptor was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Since this kernel was started.
    ThisBoot,
    /// Under another kernel: it came over a kexec.
    EarlierBoot,
}

/// A descriptor from the store.
#[derive(Debug)]
pub struct Found {
    /// Its key, as [`FdStore::stored_key`] makes it.
    pub key: String,
    /// The descriptor; systemd keeps its own.
    pub fd: OwnedFd,
    /// When it was stored.
    pub age: Age,
}

/// The store.
#[derive(Debug)]
pub struct FdStore {
    boot: String,
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What is stored by key.
    names: BTreeMap<String, String>,
    last_number: u64,
    is_settled: bool,
}

/// What a name in the store says.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    boot: &'a str,
    number: u64,
    key: &'a str,
}

impl FdStore {
    /// Opens the store of this service, if systemd keeps one, with everything in it. What is not ours, and older ones of
    /// the same key, are removed.
    ///
    /// To be called once, first thing in a program.
    ///
    /// # Errors
    /// What was passed is not as it should be.
    pub fn open() -> Result<Option<(Self, Vec<Found>)>, Error> {
        let limit = std::env::var(LIMIT)
            .ok()
            .and_then(|limit| limit.parse().ok());
        let (Some(limit @ 1..), Some(_)) = (limit, std::env::var_os(NOTIFY_SOCKET)) else {
            return Ok(None);
        };
        let path = Path::new(BOOT_ID);
        let boot = fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let boot = boot
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(BOOT_DIGITS);
        let store = Self {
            boot: boot.collect(),
            limit,
            inner: Mutex::default(),
        };
        let found = store.sort(listen_sys::take()?)?;
        Ok(Some((store, found)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what systemd passed.
    fn sort(&self, passed: Vec<(String, OwnedFd)>) -> Result<Vec<Found>, Error> {
        let mut newest: BTreeMap<String, (Age, u64, String, OwnedFd)> = BTreeMap::new();
        let mut superseded = Vec::new();
        for (name, fd) in passed {
            let Some(parts) = parse(&name) else {
                superseded.push(name);
                continue;
            };
            let age = if parts.boot == self.boot {
                Age::ThisBoot
            } else {
                Age::EarlierBoot
            };
            let rank = |age: Age, number| (age == Age::ThisBoot, number);
            let other = newest.get(parts.key);
            if other.is_some_and(|other| rank(other.0, other.1) > rank(age, parts.number)) {
                superseded.push(name);
                continue;
            }
            let key = parts.key.to_owned();
            if let Some((_, _, old, _)) = newest.insert(key, (age, parts.number, name, fd)) {
                superseded.push(old);
            }
        }
        let mut inner = self.inner();
        let mut found = Vec::new();
        for (key, (age, number, name, fd)) in newest {
            if age == Age::ThisBoot {
                inner.last_number = inner.last_number.max(number);
            }
            inner.names.insert(key.clone(), name);
            found.push(Found { key, fd, age });
        }
        drop(inner);
        superseded.iter().try_for_each(|name| remove(name))?;
        Ok(found)
    }

    /// The key as it is stored: what systemd's names cannot have is written as `%XX`, and a long one has its sum for a
    /// tail.
    #[must_use]
    pub fn stored_key(key: &str) -> String {
        let mut stored = String::new();
        for byte in key.bytes() {
            if byte.is_ascii_graphic() && !matches!(byte, b':' | b'%') {
                stored.push(char::from(byte));
            } else {
                let _infallible = write!(stored, "%{byte:02x}");
            }
        }
        if stored.len() > MAX_KEY {
            // A service that makes two of its own names collide hurts itself only.
            let sum = fnv(key.as_bytes());
            stored.truncate(MAX_KEY - 17);
            let _infallible = write!(stored, "~{sum:016x}");
        }
        stored
    }

    /// Stores a duplicate of `fd`; the one of the same key before it goes afterwards.
    ///
    /// # Errors
    /// [`Error::StoreFull`], [`Error::Notify`]: the one before stays.
    pub fn put(&self, key: &str, fd: BorrowedFd<'_>) -> Result<(), Error> {
        let mut inner = self.inner();
        // One more for the moment in which both are there.
        let count = inner.names.len();
        if count.saturating_add(1) >= self.limit && !inner.names.contains_key(key) {
            return Err(Error::StoreFull { count });
        }
        inner.last_number = inner.last_number.saturating_add(1);
        let name = format!("{}.{}.{key}", self.boot, inner.last_number);
        let state = [
            NotifyState::FdStore,
            NotifyState::FdName(&name),
            // Nothing that is stored here tells of its end.
            NotifyState::Custom("FDPOLL=0"),
        ];
        send("FDSTORE=1", &state, &[fd])?;
        if let Some(old) = inner.names.insert(key.to_owned(), name) {
            inner.is_settled = false;
            remove(&old)?;
        }
        Ok(())
    }

    /// Has systemd close the descriptor of this key.
    ///
    /// # Errors
    /// [`Error::Notify`].
    pub fn remove(&self, key: &str) -> Result<(), Error> {
        let mut inner = self.inner();
        match inner.names.remove(key) {
            None => Ok(()),
            Some(name) => {
                inner.is_settled = false;
                remove(&name)
            }
        }
    }

    /// Whether a descriptor is stored under this key.
    pub fn has(&self, key: &str) -> bool {
        self.inner().names.contains_key(key)
    }

    /// Waits until systemd has closed everything that was removed.
    ///
    /// # Errors
    /// [`Error::Notify`], [`Error::Busy`].
    pub fn settle(&self) -> Result<(), Error> {
        let mut inner = self.inner();
        if !inner.is_settled {
            notify::barrier()?;
            inner.is_settled = true;
        }
        Ok(())
    }
}

fn remove(name: &str) -> Result<(), Error> {
    let state = [NotifyState::FdStoreRemove, NotifyState::FdName(name)];
    send("FDSTOREREMOVE=1", &state, &[])
}

fn parse(name: &str) -> Option<Parts<'_>> {
    let (boot, rest) = name.split_once('.')?;
    let (number, key) = rest.split_once('.')?;
    let is_boot = boot.len() == BOOT_DIGITS && boot.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = number.parse().ok()?;
    is_boot.then_some(Parts { boot, number, key })
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_nothing_that_a_name_of_systemd_cannot_have() {
        let stored = FdStore::stored_key;
        assert_eq!(stored("item/a@b/c-1"), "item/a@b/c-1");
        assert_eq!(stored("item/s/a:b %\u{fc}"), "item/s/a%3ab%20%25%c3%bc");
        assert_ne!(stored("%3a"), stored(":"));
        let (one, other) = (stored(&"x".repeat(300)), stored(&"x".repeat(301)));
        assert_eq!(one.len(), MAX_KEY);
        assert_ne!(one, other);
    }

    #[test]
    fn names_say_when_and_what() {
        let parts = parse("0123456789ab.17.item/a/b.c").unwrap();
        assert_eq!((parts.number, parts.key), (17, "item/a/b.c"));
        for name in [
            "unknown",
            "",
            "0123456789ab.x.k",
            "0123456789.1.k",
            "stored",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    fn null() -> OwnedFd {
        fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn of_one_key_the_newest_of_this_boot_counts() {
        let store = FdStore {
            boot: "bbbbbbbbbbbb".to_owned(),
            limit: 10,
            inner: Mutex::default(),
        };
        let passed = [
            "bbbbbbbbbbbb.4.journal",
            "bbbbbbbbbbbb.12.journal",
            "aaaaaaaaaaaa.90.journal",
            "aaaaaaaaaaaa.91.session/a",
            "stored",
        ];
        let passed = passed.map(|name| (name.to_owned(), null()));
        let found = store.sort(passed.into()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.key.as_str(), one.age))
            .collect();
        assert_eq!(
            found,
            [("journal", Age::ThisBoot), ("session/a", Age::EarlierBoot)]
        );
        let inner = store.inner();
        assert_eq!(inner.names["journal"], "bbbbbbbbbbbb.12.journal");
        assert_eq!(inner.last_number, 12);
    }
}
