//! The store of descriptors that systemd keeps for a service (`FileDescriptorStoreMax=`).
//!
//! systemd passes all names in one variable when it starts the service, and a string of more than 128 KiB keeps the
//! kernel from starting any program (`MAX_ARG_STRLEN`, `include/uapi/linux/binfmts.h`, v7.3). So names are short, and all
//! of one length: what boot it was stored in (6 characters), which of two generations (1), and the key (17). Another descriptor
//! under the same key can be stored before the old one is removed, and it is known of each whether it came over a kexec.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use sd_notify::NotifyState;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::notify::{self, send};

/// How many descriptors systemd stores (`sd_pid_notify_with_fds(3)`, systemd 254 and newer).
const LIMIT: &str = "FDSTORE";
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Characters of the boot in a name: 36 bits tell one boot from the one before it.
const BOOT_LEN: usize = 6;
/// Characters of a key: its kind, and 96 bits of a sum of it, which nobody can make equal to another's.
const KEY_LEN: usize = 1 + 16;
const NAME_LEN: usize = BOOT_LEN + 1 + KEY_LEN;
/// Generations go round: of two that are there at once, the one that follows the other is the newer.
const GENERATIONS: [u8; 3] = *b"012";
/// Longest string that a program can be started with, without its name, the `=` and the NUL.
const MAX_NAMES_BYTES: usize = (128 << 10) - "LISTEN_FDNAMES=".len() - 1;
/// Names with their colons in such a string.
const MOST: usize = MAX_NAMES_BYTES / (NAME_LEN + 1);
/// Six bits each, and allowed in names.
const ALPHABET: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session of `/dev/liveupdate`.
    Session,
    /// Anything else.
    File,
}

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
    /// Its key, as [`FdStore::key`] makes it.
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
    /// What is stored: names by key.
    names: BTreeMap<String, String>,
    /// Which files are stored, by key.
    files: BTreeMap<String, FileId>,
    is_settled: bool,
}

/// Device and inode of a regular file.
type FileId = (u64, u64);

/// What a name in the store says.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    boot: &'a str,
    generation: usize,
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
        let store = Self {
            boot: sum(boot.trim(), BOOT_LEN),
            limit: limit.min(MOST),
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
        let mut newest: BTreeMap<String, (Age, usize, String, OwnedFd)> = BTreeMap::new();
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
            let other = newest.get(parts.key);
            if other.is_some_and(|other| !is_newer((age, parts.generation), (other.0, other.1))) {
                superseded.push(name);
                continue;
            }
            let key = parts.key.to_owned();
            if let Some((_, _, old, _)) = newest.insert(key, (age, parts.generation, name, fd)) {
                superseded.push(old);
            }
        }
        let mut inner = self.inner();
        let mut found = Vec::new();
        for (key, (age, _, name, fd)) in newest {
            inner.names.insert(key.clone(), name);
            if let Some(id) = file_id(fd.as_fd())? {
                inner.files.insert(key.clone(), id);
            }
            found.push(Found { key, fd, age });
        }
        drop(inner);
        superseded.iter().try_for_each(|name| remove(name))?;
        Ok(found)
    }

    /// The key of what is known elsewhere by a name of any length and any characters.
    #[must_use]
    pub fn key(kind: Kind, name: &str) -> String {
        let kind = match kind {
            Kind::Session => 's',
            Kind::File => 'f',
        };
        format!("{kind}{}", sum(name, KEY_LEN - 1))
    }

    /// What is stored under a key.
    #[must_use]
    pub fn kind_of(key: &str) -> Kind {
        if key.starts_with('s') {
            Kind::Session
        } else {
            Kind::File
        }
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
        let before = inner.names.get(key).and_then(|name| parse(name));
        let generation = before.map_or(0, |parts| following(parts.generation));
        let digit = GENERATIONS.get(generation).copied().map_or('0', char::from);
        let name = format!("{}{digit}{key}", self.boot);
        let id = file_id(fd)?;
        let is_stored = id.is_some_and(|id| inner.files.values().any(|stored| *stored == id));
        // systemd takes no open file twice, under whatever name, and does not say so.
        let another = is_stored.then(|| open_again(fd)).transpose()?;
        let fd = another.as_ref().map_or(fd, |another| another.as_fd());
        let state = [
            NotifyState::FdStore,
            NotifyState::FdName(&name),
            // Nothing that is stored here tells of its end.
            NotifyState::Custom("FDPOLL=0"),
        ];
        send("FDSTORE=1", &state, &[fd])?;
        if let Some(id) = id {
            inner.files.insert(key.to_owned(), id);
        }
        if let Some(old) = inner.names.insert(key.to_owned(), name) {
            inner.is_settled = false;
            remove(&old)?;
        }
        Ok(())
    }

    /// How many descriptors more can be stored, each under a key that none has yet.
    #[must_use]
    pub fn room(&self) -> usize {
        let taken = self.inner().names.len().saturating_add(1);
        self.limit.saturating_sub(taken)
    }

    /// Has systemd close the descriptor of this key.
    ///
    /// # Errors
    /// [`Error::Notify`].
    pub fn remove(&self, key: &str) -> Result<(), Error> {
        let mut inner = self.inner();
        inner.files.remove(key);
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

/// Which regular file this is. Sessions have no inode of their own, and each is stored once.
fn file_id(fd: BorrowedFd<'_>) -> Result<Option<FileId>, Error> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| Error::Open {
        source: errno.into(),
    })?;
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(is_regular.then_some((stat.st_dev, stat.st_ino)))
}

/// The same file, opened once more, at the same position.
fn open_again(fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let open = || {
        let position = rustix::fs::tell(fd)?;
        let mode = rustix::fs::fcntl_getfl(fd)? & OFlags::RWMODE;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let another = rustix::fs::open(path, mode | OFlags::CLOEXEC, Mode::empty())?;
        rustix::fs::seek(&another, SeekFrom::Start(position))?;
        Ok(another)
    };
    open().map_err(|errno: Errno| Error::Open {
        source: errno.into(),
    })
}

fn remove(name: &str) -> Result<(), Error> {
    let state = [NotifyState::FdStoreRemove, NotifyState::FdName(name)];
    send("FDSTOREREMOVE=1", &state, &[])
}

fn parse(name: &str) -> Option<Parts<'_>> {
    let is_ours = name.len() == NAME_LEN && name.bytes().all(|byte| ALPHABET.contains(&byte));
    let (boot, rest) = name.split_at_checked(BOOT_LEN)?;
    let (digit, key) = rest.split_at_checked(1)?;
    let generation = GENERATIONS
        .iter()
        .position(|known| [*known] == *digit.as_bytes())?;
    (is_ours && key.starts_with(['s', 'f'])).then_some(Parts {
        boot,
        generation,
        key,
    })
}

const fn following(generation: usize) -> usize {
    (generation + 1) % GENERATIONS.len()
}

/// What was stored on this boot counts before what came over a kexec.
fn is_newer(one: (Age, usize), other: (Age, usize)) -> bool {
    match (one.0, other.0) {
        (Age::ThisBoot, Age::EarlierBoot) => true,
        (Age::EarlierBoot, Age::ThisBoot) => false,
        _ => one.1 == following(other.1),
    }
}

/// The first characters of a text's sum.
fn sum(text: &str, len: usize) -> String {
    let sum = Sha256::digest(text.as_bytes());
    let bits = sum
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.take(len * 6).collect();
    let digit = |six: &[u8]| {
        six.iter()
            .fold(0, |number, bit| number << 1 | usize::from(*bit))
    };
    let character = |six| ALPHABET.get(digit(six)).copied().map_or('A', char::from);
    bits.chunks(6).map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_sha_256() {
        // `printf abc | sha256sum` begins with ba7816bf 8f01cfea 414140de; base64url of those 12 bytes.
        assert_eq!(sum("abc", 16), "ungWv48Bz-pBQUDe");
    }

    #[test]
    fn keys_are_short_and_say_what_is_stored() {
        let long = FdStore::key(Kind::File, &"x:\u{fc}".repeat(300));
        let session = FdStore::key(Kind::Session, "session/a");
        assert_eq!((long.len(), session.len()), (KEY_LEN, KEY_LEN));
        assert_eq!(FdStore::kind_of(&long), Kind::File);
        assert_eq!(FdStore::kind_of(&session), Kind::Session);
        assert_ne!(FdStore::key(Kind::File, "a"), FdStore::key(Kind::File, "b"));
    }

    #[test]
    fn names_say_when_and_what() {
        let key = FdStore::key(Kind::File, "item/a/b");
        let name = format!("aB3-_z1{key}");
        let parts = parse(&name).unwrap();
        assert_eq!(
            (parts.boot, parts.generation, parts.key),
            ("aB3-_z", 1, key.as_str())
        );
        let other_kind = name.replacen("1f", "1x", 1);
        let other_generation = name.replacen("1f", "3f", 1);
        for name in [
            "unknown",
            "",
            "stored",
            &name[1..],
            &other_kind,
            &other_generation,
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn as_many_names_as_are_allowed_fit_into_one_variable() {
        let names = vec!["x".repeat(NAME_LEN); MOST].join(":");
        assert!("LISTEN_FDNAMES=".len() + names.len() < 128 << 10);
        // The scale that luod is made for: two thousand services with a session and a file each.
        const { assert!(MOST > 2 * 2000 + 2) };
    }

    fn null() -> OwnedFd {
        fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn of_one_key_the_newest_of_this_boot_counts() {
        let store = FdStore {
            boot: "bbbbbb".to_owned(),
            limit: 10,
            inner: Mutex::default(),
        };
        let [journal, session] =
            ["journal", "session/a"].map(|name| FdStore::key(Kind::File, name));
        let passed = [
            format!("bbbbbb2{journal}"),
            format!("bbbbbb0{journal}"),
            format!("aaaaaa1{journal}"),
            format!("aaaaaa1{session}"),
            format!("aaaaaa0{session}"),
            "stored".to_owned(),
        ];
        let found = store
            .sort(passed.map(|name| (name, null())).into())
            .unwrap();
        let age = |key: &str| found.iter().find(|one| one.key == key).unwrap().age;
        assert_eq!(found.len(), 2);
        assert_eq!(age(&journal), Age::ThisBoot);
        assert_eq!(age(&session), Age::EarlierBoot);
        let inner = store.inner();
        // 0 follows 2.
        assert_eq!(inner.names[&journal], format!("bbbbbb0{journal}"));
        assert_eq!(inner.names[&session], format!("aaaaaa1{session}"));
    }
}
