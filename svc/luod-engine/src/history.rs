//! What happened on this host: updates that ended, and the boots that luod ran in.

use std::path::PathBuf;

use luod_api::manager::PastUpdate;
use update::Boot;

use crate::json_lines::JsonLines;

/// Name of the file of updates in the folder of the state.
const UPDATES: &str = "history.jsonl";
/// That of boots.
const BOOTS: &str = "boots.jsonl";

/// Where that is written down.
#[derive(Debug, Default)]
pub struct History {
    folder: Option<PathBuf>,
}

impl History {
    /// In a folder, which is made when something is written.
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    /// Nowhere.
    pub const fn none() -> Self {
        Self { folder: None }
    }

    /// The last `limit` updates, the oldest first.
    pub(crate) fn read(&self, limit: usize) -> Vec<PastUpdate> {
        let file = self.updates();
        file.map_or_else(Vec::new, |file| file.read(limit))
    }

    /// Adds an update.
    pub(crate) fn add(&self, update: &PastUpdate) {
        if let Some(file) = self.updates() {
            file.add(update);
        }
    }

    /// The last `limit` boots, the oldest first.
    pub(crate) fn boots(&self, limit: usize) -> Vec<Boot> {
        let file = self.boots_file();
        file.map_or_else(Vec::new, |file| file.read(limit))
    }

    /// Adds a boot, unless it is the last one already: luod may be started several times.
    pub(crate) fn add_boot(&self, boot: &Boot) {
        let Some(file) = self.boots_file() else {
            return;
        };
        let last = file.read(1);
        if !last.iter().any(|last| last.is_same(boot)) {
            file.add(boot);
        }
    }

    /// Where logs of kernels are kept.
    pub(crate) fn log_folder(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("pstore"))
    }

    fn updates(&self) -> Option<JsonLines<PastUpdate>> {
        Some(JsonLines::at(self.folder.as_ref()?.join(UPDATES)))
    }

    fn boots_file(&self) -> Option<JsonLines<Boot>> {
        Some(JsonLines::at(self.folder.as_ref()?.join(BOOTS)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::json_lines::{KEPT, MOST};

    fn past(ended_ns: u64) -> PastUpdate {
        PastUpdate {
            ended_ns,
            report: update::Report::default(),
        }
    }

    fn times(history: &History, limit: usize) -> Vec<u64> {
        let updates = history.read(limit);
        updates.iter().map(|update| update.ended_ns).collect()
    }

    #[test]
    fn the_last_updates_are_read_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::in_folder(folder.path().join("deep/state"));
        assert!(times(&history, 5).is_empty());
        (1..=3).for_each(|at| history.add(&past(at)));
        assert_eq!(times(&history, 5), [1, 2, 3]);
        assert_eq!(times(&history, 2), [2, 3]);
        assert!(times(&History::none(), 5).is_empty());
        History::none().add(&past(1));
    }

    #[test]
    fn a_line_that_was_cut_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::in_folder(folder.path().to_owned());
        (1..=2).for_each(|at| history.add(&past(at)));
        let path = folder.path().join(UPDATES);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 10]).unwrap();
        history.add(&past(3));
        assert_eq!(times(&history, 5), [1, 3]);
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::in_folder(folder.path().to_owned());
        let updates: Vec<_> = (0..MOST as u64).map(past).collect();
        let file = history.updates().unwrap();
        file.write_anew(&updates.iter().collect::<Vec<_>>())
            .unwrap();
        history.add(&past(9999));
        let kept = times(&history, MOST);
        assert_eq!(kept.len(), KEPT + 1);
        assert_eq!(kept.last(), Some(&9999));
    }

    #[test]
    fn a_boot_is_written_down_once() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::in_folder(folder.path().to_owned());
        let boot = |count| Boot {
            boot_id: "host".to_owned(),
            kexec_count: Some(count),
            ..Boot::default()
        };
        for count in [0, 0, 1, 1, 0] {
            history.add_boot(&boot(count));
        }
        let counts: Vec<_> = history
            .boots(9)
            .into_iter()
            .map(|it| it.kexec_count)
            .collect();
        assert_eq!(counts, [Some(0), Some(1), Some(0)]);
    }
}
