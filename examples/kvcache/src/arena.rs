//! The bytes of the cache: a memfd, mapped, fresh or inherited.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use memmap_sys::{OutOfRange, SharedMap};
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
};

use crate::table::{Table, TableError};

/// Bytes addressed by offset; the table lives in them.
///
/// Offsets are multiples of 8. [`store`](Self::store) is ordered with every other access, so that
/// what a killed process leaves is everything up to some point of the program.
pub trait Arena {
    /// Bytes of the arena.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads one word.
    ///
    /// # Errors
    ///
    /// When it is not inside.
    fn load(&self, offset: u64) -> Result<u64, OutOfRange>;

    /// Stores one word at once.
    ///
    /// # Errors
    ///
    /// When it is not inside.
    fn store(&self, offset: u64, value: u64) -> Result<(), OutOfRange>;

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// When they are not all inside.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), OutOfRange>;

    /// Copies bytes in.
    ///
    /// # Errors
    ///
    /// When they do not all fit.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfRange>;
}

impl Arena for SharedMap {
    fn len(&self) -> u64 {
        Self::len(self)
    }

    #[inline]
    fn load(&self, offset: u64) -> Result<u64, OutOfRange> {
        self.load_u64(offset)
    }

    #[inline]
    fn store(&self, offset: u64, value: u64) -> Result<(), OutOfRange> {
        self.store_u64(offset, value)
    }

    #[inline]
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        self.read_at(offset, bytes)
    }

    #[inline]
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        self.write_at(offset, bytes)
    }
}

/// Where the memory comes from.
#[derive(Debug)]
pub enum ArenaSource {
    /// A new memfd of so many bytes.
    Fresh {
        /// Size of the arena; it can never change.
        len: u64,
    },
    /// A memfd somebody kept: the previous process, or the previous kernel.
    ///
    /// An untouched one (all zero where the header goes) gets an empty table.
    Inherited(OwnedFd),
}

/// Why the arena cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// A system call failed.
    #[error("{call} of the arena")]
    System {
        /// The call.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The size is none a mapping can have.
    #[error("arena of {len} bytes: give a multiple of 4096")]
    Length {
        /// Size of the memfd.
        len: u64,
    },
    /// The content is not a table.
    #[error("the arena does not hold a usable table; start with a fresh one to drop its content")]
    Table(#[source] TableError),
}

/// Turns a source into a descriptor and the table inside.
///
/// The descriptor is what has to be kept to keep the data. It is sealed against shrinking and
/// growing: a mapping of it can never fault.
///
/// # Errors
///
/// When the memory cannot be had or mapped, or holds something else.
pub fn open(source: ArenaSource) -> Result<(OwnedFd, Table<SharedMap>), ArenaError> {
    let system = |call| {
        move |source: rustix::io::Errno| ArenaError::System {
            call,
            source: source.into(),
        }
    };
    let fd = match source {
        ArenaSource::Fresh { len } => {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let fd = memfd_create("kvcache", flags).map_err(system("memfd_create"))?;
            ftruncate(&fd, len).map_err(system("ftruncate"))?;
            fd
        }
        ArenaSource::Inherited(fd) => fd,
    };
    let wanted = SealFlags::SHRINK | SealFlags::GROW;
    let seals = fcntl_get_seals(&fd).map_err(system("F_GET_SEALS"))?;
    if !seals.contains(wanted) {
        fcntl_add_seals(&fd, wanted).map_err(system("F_ADD_SEALS"))?;
    }
    let map = map(&fd)?;
    let table = Table::open_or_create(map, random_seed()).map_err(ArenaError::Table)?;
    Ok((fd, table))
}

/// Maps the whole memfd.
fn map(fd: impl AsFd) -> Result<SharedMap, ArenaError> {
    let stat = fstat(&fd).map_err(|source| ArenaError::System {
        call: "fstat",
        source: source.into(),
    })?;
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    let bytes = usize::try_from(len)
        .ok()
        .filter(|bytes| *bytes > 0 && bytes.is_multiple_of(4096))
        .ok_or(ArenaError::Length { len })?;
    SharedMap::map(fd, bytes).map_err(|source| ArenaError::System {
        call: "mmap",
        source,
    })
}

/// Seed of a new table's hash, from the standard library's own random keys.
fn random_seed() -> [u64; 2] {
    use std::hash::{BuildHasher as _, RandomState};
    let keys = RandomState::new();
    [keys.hash_one(0u8), keys.hash_one(1u8)]
}
