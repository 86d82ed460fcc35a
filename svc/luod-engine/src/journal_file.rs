//! Where the journal is kept: a memfd that the holder has as well, and a copy on disk.
//!
//! What changes is added to both; now and then both are written anew and replaced in one step.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

use update::journal::{Journal, JournalError, Writer, Written};

use crate::keeper::{Keeper, KeeperError};
use crate::sealed;
use crate::shadow::Shadow;

/// Name of the journal with the holder.
pub(crate) const JOURNAL: &str = "journal";

/// Why the journal was not saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error(transparent)]
    Encode(#[from] JournalError),
    #[error("the journal's memfd cannot be written")]
    Memfd(#[source] io::Error),
    #[error(transparent)]
    Keeper(#[from] KeeperError),
}

/// The journal as it is kept.
#[derive(Debug)]
pub(crate) struct JournalFile {
    writer: Writer,
    shadow: Shadow,
    /// The memfd and how much of it is written; none before the first journal.
    memfd: Option<(File, u64)>,
}

impl JournalFile {
    pub(crate) fn new(shadow: Shadow) -> Self {
        Self {
            writer: Writer::default(),
            shadow,
            memfd: None,
        }
    }

    /// The copy on disk, as an earlier luod of this boot left it.
    pub(crate) fn shadow(&self) -> Option<Journal> {
        self.shadow.read()
    }

    /// Saves the journal where the next luod finds it.
    pub(crate) fn save(&mut self, journal: &Journal, keeper: &Keeper) -> Result<(), SaveError> {
        let saved = self.save_as(journal, keeper);
        if saved.is_err() {
            // Half of it may be there: nothing may be added behind that.
            self.writer.forget();
        }
        saved
    }

    fn save_as(&mut self, journal: &Journal, keeper: &Keeper) -> Result<(), SaveError> {
        match (self.writer.write(journal)?, &mut self.memfd) {
            (Written::Added(bytes), Some((memfd, length))) => {
                memfd
                    .write_all_at(&bytes, *length)
                    .map_err(SaveError::Memfd)?;
                *length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.copy(|shadow| shadow.add(&bytes));
            }
            (Written::Whole(bytes), memfd) => {
                let (mine, theirs) = twice(&bytes).map_err(SaveError::Memfd)?;
                keeper.put(JOURNAL, theirs)?;
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                *memfd = Some((mine, length));
                self.copy(|shadow| shadow.write(&bytes));
            }
            (Written::Added(_), None) => {
                self.writer.forget();
                return self.save_as(journal, keeper);
            }
        }
        Ok(())
    }

    fn copy(&mut self, write: impl FnOnce(&mut Shadow) -> io::Result<()>) {
        if let Err(error) = write(&mut self.shadow) {
            tracing::warn!(%error, "the copy of the journal was not written");
        }
    }
}

/// A memfd with `bytes`, and a duplicate of its descriptor.
fn twice(bytes: &[u8]) -> io::Result<(File, OwnedFd)> {
    let memfd = sealed::memfd(bytes)?;
    let duplicate = memfd.as_fd().try_clone_to_owned()?;
    Ok((memfd, duplicate))
}
