//! A copy of the journal in a file, for the one case in which nobody holds the journal: luod and
//! its holder both ended. It brings nothing back; it names what is gone.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use update::Journal;
use update::journal::MAX_PAYLOAD;

/// The file, in the runtime folder. On tmpfs, as `/run` is, a boot forgets it; elsewhere it also
/// names what a boot without a handover has lost.
#[derive(Debug)]
pub(crate) struct Shadow {
    path: PathBuf,
    /// Where changes are added; none after something failed.
    file: Option<File>,
}

impl Shadow {
    pub(crate) fn new(runtime_dir: &Path) -> Self {
        Self {
            path: runtime_dir.join("journal"),
            file: None,
        }
    }

    /// The journal as it was saved last on this boot.
    pub(crate) fn read(&self) -> Option<Journal> {
        let mut bytes = Vec::new();
        File::open(&self.path)
            .ok()?
            .take(MAX_PAYLOAD)
            .read_to_end(&mut bytes)
            .ok()?;
        match update::journal::decode(&bytes) {
            Ok(journal) => Some(journal),
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "unreadable");
                None
            }
        }
    }

    /// Replaces the copy in one step.
    pub(crate) fn write(&mut self, journal: &[u8]) -> io::Result<()> {
        self.file = None;
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(journal)?;
        fs::rename(&new, &self.path)?;
        self.file = Some(file);
        Ok(())
    }

    /// Adds to the copy. Once that failed it stays as it was until it is replaced.
    pub(crate) fn add(&mut self, changes: &[u8]) -> io::Result<()> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        file.write_all(changes)?;
        self.file = Some(file);
        Ok(())
    }
}
