//! Updates that ended, on disk: one JSON object a line, the oldest first.
//!
//! What cannot be written is logged and no more: an update does not fail because its record does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use luod_api::manager::PastUpdate;

/// Name of the file in the folder of the state.
const NAME: &str = "history.jsonl";
/// Updates that are kept when the file is written anew.
const KEPT: usize = 1000;
/// Updates in the file from which on it is written anew.
const MOST: usize = 2 * KEPT;

/// Where updates that ended are written down.
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

    /// The last `limit` updates, the oldest first. A line that is none of ours is left out.
    pub(crate) fn read(&self, limit: usize) -> Vec<PastUpdate> {
        let Some(path) = self.path() else {
            return Vec::new();
        };
        match read(&path) {
            Ok(mut updates) => {
                let old = updates.len().saturating_sub(limit);
                updates.drain(..old);
                updates
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the history cannot be read");
                Vec::new()
            }
        }
    }

    /// Adds an update.
    pub(crate) fn add(&self, update: &PastUpdate) {
        let Some(path) = self.path() else { return };
        if let Err(error) = add(&path, update) {
            tracing::warn!(%error, path = %path.display(), "the history was not written");
        }
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(NAME))
    }
}

fn read(path: &PathBuf) -> io::Result<Vec<PastUpdate>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut updates = Vec::new();
    for line in BufReader::new(file).lines() {
        // The last line may be cut: the machine may have gone down in the middle of it.
        updates.extend(serde_json::from_str::<PastUpdate>(&line?).ok());
    }
    Ok(updates)
}

fn add(path: &PathBuf, update: &PastUpdate) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let updates = read(path)?;
    if updates.len() >= MOST {
        let recent = updates.iter().skip(updates.len().saturating_sub(KEPT));
        return write_anew(path, &recent.chain([update]).collect::<Vec<_>>());
    }
    let mut file = open(path, OpenOptions::new().append(true))?;
    // Alone on its line, whatever the line before was cut to.
    let mut line = if updates.is_empty() {
        String::new()
    } else {
        String::from("\n")
    };
    line += &serde_json::to_string(update)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

fn write_anew(path: &PathBuf, updates: &[&PastUpdate]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = open(&new, OpenOptions::new().write(true).truncate(true))?;
    for (index, update) in updates.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        write!(file, "{separator}{}", serde_json::to_string(update)?)?;
    }
    file.sync_all()?;
    fs::rename(new, path)
}

fn open(path: &PathBuf, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(0o644).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let path = folder.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 10]).unwrap();
        history.add(&past(3));
        assert_eq!(times(&history, 5), [1, 3]);
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let updates: Vec<_> = (0..MOST as u64).map(past).collect();
        write_anew(&path, &updates.iter().collect::<Vec<_>>()).unwrap();
        let history = History::in_folder(folder.path().to_owned());
        history.add(&past(9999));
        let kept = times(&history, MOST);
        assert_eq!(kept.len(), KEPT + 1);
        assert_eq!(kept.last(), Some(&9999));
    }
}
