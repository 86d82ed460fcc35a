//! Looking back when luod has started: which boot this is, and what the kernel before left of its log. Services are
//! served meanwhile: the disk may be slow.

use std::path::Path;

use pstore_archive::{
    Afterwards, Archive, Boot, BootLog, Error, Extent, ShutdownLog, Store, StoreState,
};
use update::PreviousLog;

use crate::engine::Engine;

/// Boots that stay in the archive.
const KEPT: usize = 100;

impl Engine {
    /// Writes this boot down, collects what pstore has, and tells it in the report of an update that has just come over.
    pub fn look_back(&self) {
        self.note_boot();
        self.collect_logs();
    }

    /// Writes down that there is this boot, and what it came by.
    pub(crate) fn note_boot(&self) {
        let facts = self.host.facts();
        let started_ns = self.host.now().realtime_ns;
        let update_id = {
            let state = self.state();
            state.came_by_update.then(|| state.update_id())
        };
        self.history.add_boot(&update::Boot {
            boot_id: facts.boot_id,
            release: facts.release,
            started_ns,
            kexec_count: facts.kexec_count,
            previous_release: facts.previous_release,
            update_id,
        });
    }

    fn collect_logs(&self) {
        let Some(folder) = self.history.log_folder() else {
            return;
        };
        let store = Store::default();
        let state = store.state();
        let found = match state {
            // Nothing can be in it, and nothing is written for nothing.
            StoreState::Unsupported | StoreState::NotMounted => Ok(PreviousLog::Absent {
                reason: "pstore is not mounted at /sys/fs/pstore, or this kernel has none".into(),
            }),
            _ => collect(&folder, &store, &self.this_boot()),
        };
        match found {
            Ok(log) => self.note_previous_log(log),
            Err(error) => {
                tracing::warn!(%error, cause = ?error, "the log of the kernel before was not collected");
            }
        }
    }

    fn this_boot(&self) -> Boot {
        let facts = self.host.facts();
        Boot {
            boot_id: facts.boot_id,
            release: facts.release,
            kexec_count: facts.kexec_count,
            previous_release: facts.previous_release,
        }
    }

    /// For the report of the update that this boot came by, and of no other.
    fn note_previous_log(&self, log: PreviousLog) {
        tracing::info!(?log, "log of the kernel before");
        let mut state = self.state();
        if !state.came_by_update {
            return;
        }
        if let Some(update) = &mut state.journal.update {
            update.previous_log = Some(log);
        }
        if let Err(refusal) = self.save(&state) {
            tracing::warn!(%refusal, "the journal was not saved");
        }
    }
}

fn collect(folder: &Path, store: &Store, boot: &Boot) -> Result<PreviousLog, Error> {
    let archive = Archive::at(folder.to_owned());
    let collected = archive.collect(store, boot, Afterwards::Leave, Extent::Whole, KEPT)?;
    Ok(match BootLog::read(&archive, &collected.entry)?.shutdown {
        ShutdownLog::Kept {
            lines, last_line, ..
        } => PreviousLog::Kept {
            lines: u64::try_from(lines).unwrap_or(u64::MAX),
            last_line,
        },
        ShutdownLog::Absent { message, .. } => PreviousLog::Absent { reason: message },
    })
}
