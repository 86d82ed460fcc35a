//! A journal in a memfd, sealed where it is final.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::SealFlags;
use update::journal::{HEADER_LEN, MAX_PAYLOAD};
use update::{Journal, JournalError};

/// A journal that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The memfd failed.
    #[error("the journal's memfd failed")]
    Io(#[from] io::Error),
    /// Its bytes are no journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Writes an encoded journal into a new memfd and seals it against every change.
pub(crate) fn write(journal: &[u8]) -> Result<OwnedFd, SealedError> {
    let file = memfd(journal)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(io::Error::from)?;
    Ok(file.into())
}

/// Writes an encoded journal into a new memfd that can be added to.
pub(crate) fn memfd(journal: &[u8]) -> io::Result<File> {
    let mut file = File::from(luo_sys::create_memfd("luod-journal")?);
    file.write_all(journal)?;
    Ok(file)
}

/// Reads the journal in `memfd`, whatever its position.
pub(crate) fn read(memfd: OwnedFd) -> Result<Journal, SealedError> {
    let mut file = File::from(memfd);
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    let header_len = u64::try_from(HEADER_LEN).unwrap_or(u64::MAX);
    file.take(MAX_PAYLOAD + header_len)
        .read_to_end(&mut bytes)?;
    Ok(update::journal::decode(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_back_from_a_memfd_nobody_can_change() {
        let journal = Journal {
            phase: update::Phase::Prepared,
            ..Journal::default()
        };
        let bytes = update::journal::encode(&journal).unwrap();
        let memfd = write(&bytes).unwrap();
        let seals = rustix::fs::fcntl_get_seals(&memfd).unwrap();
        assert!(seals.contains(SealFlags::WRITE | SealFlags::SEAL));
        assert_eq!(read(memfd).unwrap(), journal);
    }
}
