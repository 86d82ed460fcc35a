//! A memfd in the program's hands.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::Error;
use crate::spec::{Seals, size_of};

/// Where a memfd comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made just now, all zero.
    New,
    /// Kept while the program was restarted on this kernel.
    Kept,
    /// Came over from the previous kernel.
    Updated,
}

/// A memfd with what is known of it.
#[derive(Debug)]
pub struct Item {
    pub(crate) fd: OwnedFd,
    pub(crate) origin: Origin,
    pub(crate) schema: u32,
    pub(crate) size_bytes: u64,
}

impl Item {
    /// Where it comes from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether there is nothing in it yet.
    pub const fn is_new(&self) -> bool {
        matches!(self.origin, Origin::New)
    }

    /// Version of what is stored in it.
    pub const fn schema(&self) -> u32 {
        self.schema
    }

    /// Its size in bytes.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor, taken out.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Item {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Checks that what came back is what was kept: its size and its seals.
pub(crate) fn check_unchanged(
    item: &str,
    fd: &OwnedFd,
    expected_bytes: u64,
    expected: Seals,
) -> Result<(), Error> {
    let found = size_of(fd)?;
    if found != expected_bytes {
        let item = item.to_owned();
        return Err(Error::Changed {
            item,
            expected: expected_bytes,
            found,
        });
    }
    let found = Seals::of(fd)?;
    if found != expected {
        return Err(Error::Resealed {
            item: item.to_owned(),
            expected,
            found,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::MemfdSpec;

    #[test]
    fn a_file_that_is_not_the_one_kept_is_noticed() {
        let fd = MemfdSpec::new(4096).seals(Seals::NONE).create("m").unwrap();
        assert!(check_unchanged("m", &fd, 4096, Seals::NONE).is_ok());
        let error = check_unchanged("m", &fd, 8192, Seals::NONE).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Changed {
                    expected: 8192,
                    found: 4096,
                    ..
                }
            ),
            "{error}"
        );
        let error = check_unchanged("m", &fd, 4096, Seals::FIXED_SIZE).unwrap_err();
        assert!(matches!(error, Error::Resealed { .. }), "{error}");
    }
}
