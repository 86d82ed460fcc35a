//! A file of records, one JSON object a line, the oldest first; the oldest go when it is long.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Records that are kept when the file is written anew.
pub(crate) const KEPT: usize = 1000;
/// Records in the file from which on it is written anew.
pub(crate) const MOST: usize = 2 * KEPT;

/// The file. What cannot be read or written is logged and no more: nothing fails because its record does.
#[derive(Debug)]
pub(crate) struct JsonLines<T> {
    path: PathBuf,
    records: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> JsonLines<T> {
    /// In a file whose folder is made when something is written.
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self {
            path,
            records: PhantomData,
        }
    }

    /// The last `limit` records. A line that is none is left out.
    pub(crate) fn read(&self, limit: usize) -> Vec<T> {
        match self.read_all() {
            Ok(mut records) => {
                let old = records.len().saturating_sub(limit);
                records.drain(..old);
                records
            }
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "the history cannot be read");
                Vec::new()
            }
        }
    }

    /// Adds a record.
    pub(crate) fn add(&self, record: &T) {
        if let Err(error) = self.try_add(record) {
            tracing::warn!(%error, path = %self.path.display(), "the history was not written");
        }
    }

    fn read_all(&self) -> io::Result<Vec<T>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        for line in BufReader::new(file).lines() {
            // The last line may be cut: the machine may have gone down in the middle of it.
            records.extend(serde_json::from_str::<T>(&line?).ok());
        }
        Ok(records)
    }

    fn try_add(&self, record: &T) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let records = self.read_all()?;
        if records.len() >= MOST {
            let recent = records.iter().skip(records.len().saturating_sub(KEPT));
            return self.write_anew(&recent.chain([record]).collect::<Vec<_>>());
        }
        let mut file = open(&self.path, OpenOptions::new().append(true))?;
        // Alone on its line, whatever the line before was cut to.
        let mut line = if records.is_empty() {
            String::new()
        } else {
            String::from("\n")
        };
        line += &serde_json::to_string(record)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    }

    pub(crate) fn write_anew(&self, records: &[&T]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = open(&new, OpenOptions::new().write(true).truncate(true))?;
        for (index, record) in records.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(file, "{separator}{}", serde_json::to_string(record)?)?;
        }
        file.sync_all()?;
        fs::rename(new, &self.path)
    }
}

fn open(path: &PathBuf, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(0o644).open(path)
}
