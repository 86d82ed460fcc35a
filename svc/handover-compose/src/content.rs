//! The files of a plan, as the memfd handler sees them: open memfds with content.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use luo::{Errno, ShmemFiles, ShmemState};
use rustix::fs::{SeekFrom, seek};

use crate::error::ComposeError;
use crate::plan::FilePlan;

/// One of [`Contents`]: its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId(pub(crate) usize);

/// What went wrong with a file, while the engine only knows an errno.
pub(crate) type Failed = Rc<RefCell<Option<(PathBuf, io::Error)>>>;

/// All files of a plan.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    files: Vec<Content>,
    /// The file that was read last: a plan may have more files than a process may open.
    open: Option<(usize, File)>,
    failed: Failed,
}

#[derive(Debug)]
struct Content {
    path: Option<PathBuf>,
    size: u64,
    content_bytes: u64,
    pos: u64,
    seals: u32,
}

impl Contents {
    /// Takes a file in; its content is looked for below `base`.
    pub(crate) fn add(&mut self, plan: &FilePlan, base: &Path) -> Result<FileId, ComposeError> {
        let path = plan.content.as_ref().map(|path| base.join(path));
        let content_bytes = path.as_deref().map_or(Ok(0), regular_file)?;
        let size = plan.size.map_or(content_bytes, |size| size.0);
        if size < content_bytes {
            return Err(ComposeError::ContentTooLong {
                path: path.unwrap_or_default(),
                content_bytes,
                size,
            });
        }
        let seals = plan.seals.iter().fold(0, |all, seal| all | seal.bit().0);
        self.files.push(Content {
            path,
            size,
            content_bytes,
            pos: plan.position.0,
            seals,
        });
        Ok(FileId(self.files.len() - 1))
    }

    /// Where to look when a call has failed.
    pub(crate) fn failed(&self) -> Failed {
        Rc::clone(&self.failed)
    }

    fn content(&self, file: FileId) -> Option<&Content> {
        self.files.get(file.0)
    }

    /// Does something with the open file; what fails is kept for [`Contents::failed`].
    fn with<T>(
        &mut self,
        id: FileId,
        do_fn: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, Errno> {
        let path = self.content(id).and_then(|content| content.path.clone());
        let path = path.ok_or(Errno::EINVAL)?;
        let done = match &self.open {
            Some((known, file)) if *known == id.0 => do_fn(file),
            _ => File::open(&path).and_then(|file| do_fn(&self.open.insert((id.0, file)).1)),
        };
        done.map_err(|error| {
            *self.failed.borrow_mut() = Some((path, error));
            Errno::EIO
        })
    }
}

/// Bytes of a file; another kind than a regular one is refused.
pub(crate) fn regular_file(path: &Path) -> Result<u64, ComposeError> {
    let wrap = |source| ComposeError::Content {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(wrap)?;
    if !metadata.is_file() {
        return Err(wrap(io::Error::other("not a regular file")));
    }
    Ok(metadata.len())
}

impl ShmemFiles for Contents {
    type File = FileId;

    fn shmem(&mut self, file: &FileId) -> Option<ShmemState> {
        let content = self.content(*file)?;
        Some(ShmemState {
            // Two files of one content are two memfds.
            inode: u64::try_from(file.0).ok()?,
            links: 0,
            size: content.size,
            pos: content.pos,
            seals: content.seals,
        })
    }

    fn freeze(&mut self, _: &FileId) -> Result<(), Errno> {
        Ok(())
    }

    fn thaw(&mut self, _: &FileId) {}

    fn data(&mut self, file: &FileId, offset: u64) -> Option<Range<u64>> {
        let end = self.content(*file)?.content_bytes;
        if offset >= end {
            return None;
        }
        let found = self.with(*file, |open| {
            let start = seek(open, SeekFrom::Data(offset))?;
            Ok(start..seek(open, SeekFrom::Hole(start))?)
        });
        match found {
            Ok(range) if range.start < range.end => Some(range.start..range.end.min(end)),
            // Nothing but a hole follows, or the file system does not know: reading tells.
            _ => match self.failed.take() {
                Some((_, error)) if error.raw_os_error() == Some(NXIO) => None,
                _ => Some(offset..end),
            },
        }
    }

    fn read_at(&mut self, file: &FileId, offset: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let end = self.content(*file).map_or(0, |file| file.content_bytes);
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let here = left.min(bytes.len());
        let (content, behind) = bytes.split_at_mut(here);
        behind.fill(0);
        if content.is_empty() {
            return Ok(());
        }
        self.with(*file, |open| open.read_exact_at(content, offset))
    }

    fn create(&mut self, _: u64, _: u32) -> Result<FileId, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn write_at(&mut self, _: &FileId, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn finish_create(&mut self, _: &FileId, _: u64, _: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

/// `lseek(SEEK_DATA)` with nothing but a hole behind.
const NXIO: i32 = rustix::io::Errno::NXIO.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Number;

    #[test]
    fn what_is_behind_the_content_reads_as_zeros() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("content"), b"abc").unwrap();
        let plan = FilePlan {
            token: Number(1),
            content: Some("content".into()),
            size: Some(Number(10)),
            position: Number(0),
            seals: Vec::new(),
        };
        let mut contents = Contents::default();
        let file = contents.add(&plan, base.path()).unwrap();
        assert_eq!(contents.data(&file, 1), Some(1..3));
        assert_eq!(contents.data(&file, 3), None);
        let mut bytes = [0xff; 4];
        contents.read_at(&file, 1, &mut bytes).unwrap();
        assert_eq!(&bytes, b"bc\0\0");
    }
}
