//! Who keeps the files.

use std::os::fd::{BorrowedFd, OwnedFd};

use liveupdate::{MemfdSpec, Seals, Store};

use crate::error::Error;

/// Version of what is kept: a tree and its files.
const SCHEMA: u32 = 1;

/// Keeps descriptors under names, over the end of this process and over the kernel's.
pub trait Keeping {
    /// Every name under which something is kept.
    fn names(&self) -> Vec<String>;

    /// What is kept under a name.
    ///
    /// # Errors
    /// [`Error::Keeping`].
    fn get(&mut self, name: &str) -> Result<Option<OwnedFd>, Error>;

    /// Keeps a file from now on.
    ///
    /// # Errors
    /// [`Error::Keeping`].
    fn keep(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<(), Error>;

    /// Gives up what is kept under a name.
    ///
    /// # Errors
    /// [`Error::Keeping`].
    fn forget(&mut self, name: &str) -> Result<(), Error>;
}

/// Of any size, which may change while nothing is preserved.
const fn spec() -> MemfdSpec {
    MemfdSpec::new(0)
        .seals(Seals::NONE)
        .any_size()
        .schema(SCHEMA)
}

impl Keeping for Store {
    fn names(&self) -> Vec<String> {
        Self::names(self)
    }

    fn get(&mut self, name: &str) -> Result<Option<OwnedFd>, Error> {
        let item = self.kept(name, &spec()).map_err(keeping)?;
        Ok(item.map(liveupdate::Item::into_fd))
    }

    fn keep(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<(), Error> {
        Self::keep(self, name, file, &spec()).map_err(keeping)
    }

    fn forget(&mut self, name: &str) -> Result<(), Error> {
        Self::forget(self, name).map_err(keeping)
    }
}

fn keeping(error: liveupdate::Error) -> Error {
    Error::Keeping(error.into())
}
