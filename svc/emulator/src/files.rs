//! Files of supervised programs, as the engine knows them: real descriptors of this host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use luo::{Errno, ShmemFiles, ShmemState};
use luo_sys::{TMPFS_MAGIC, filesystem_magic};
use rustix::fs::{FileType, MemfdFlags, Mode, SealFlags, SeekFrom};

/// `MFD_EXEC` (v6.3): the mode is 0777 whatever `vm.memfd_noexec` says.
const MFD_EXEC: MemfdFlags = MemfdFlags::from_bits_retain(0x10);

/// An open file of a supervised program, kept open by us as well.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile(Rc<OwnedFd>);

impl OpenFile {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(Rc::new(fd))
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Which file: device and inode number.
type FileId = (u64, u64);

/// A file whose size must not change.
#[derive(Clone, Debug)]
struct Frozen {
    file: OpenFile,
    size_bytes: u64,
}

/// A file that grew although it was preserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grown {
    /// Bytes when it was preserved: what is handed over.
    pub from_bytes: u64,
    /// Bytes now.
    pub to_bytes: u64,
}

/// The files of the host. Clones know the same frozen files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    frozen: Rc<RefCell<HashMap<FileId, Frozen>>>,
    /// Identities for the engine: numbers of its own, as two file systems may use the same.
    known: Rc<RefCell<HashMap<FileId, u64>>>,
}

impl Files {
    /// Whether the size of any file is held: mostly not.
    pub(crate) fn is_any_frozen(&self) -> bool {
        !self.frozen.borrow().is_empty()
    }

    /// Whether the size of a file is held; its size in bytes.
    pub(crate) fn frozen_size(&self, fd: BorrowedFd<'_>) -> Option<u64> {
        let frozen = self.frozen.borrow();
        Some(frozen.get(&id(fd)?)?.size_bytes)
    }

    /// Files that are larger than when they were frozen: writes behind the end are not seen.
    pub(crate) fn grown(&self) -> Vec<Grown> {
        let frozen = self.frozen.borrow();
        let grown = |it: &Frozen| {
            let to_bytes = size_of_file(it.file.as_fd())?;
            let from_bytes = it.size_bytes;
            (to_bytes > from_bytes).then_some(Grown {
                from_bytes,
                to_bytes,
            })
        };
        frozen.values().filter_map(grown).collect()
    }
}

fn id(fd: BorrowedFd<'_>) -> Option<FileId> {
    let stat = rustix::fs::fstat(fd).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

fn size_of_file(fd: BorrowedFd<'_>) -> Option<u64> {
    u64::try_from(rustix::fs::fstat(fd).ok()?.st_size).ok()
}

/// An errno of the host as the engine has it.
pub(crate) fn errno(errno: rustix::io::Errno) -> Errno {
    Errno(errno.raw_os_error())
}

impl ShmemFiles for Files {
    type File = OpenFile;

    fn shmem(&mut self, file: &OpenFile) -> Option<ShmemState> {
        let stat = rustix::fs::fstat(file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        if filesystem_magic(file).ok()? != TMPFS_MAGIC {
            return None;
        }
        let mut known = self.known.borrow_mut();
        let next = u64::try_from(known.len()).ok()?;
        let inode = *known.entry((stat.st_dev, stat.st_ino)).or_insert(next);
        Some(ShmemState {
            inode,
            links: u32::try_from(stat.st_nlink).ok()?,
            size: u64::try_from(stat.st_size).ok()?,
            pos: rustix::fs::tell(file).ok()?,
            seals: rustix::fs::fcntl_get_seals(file).ok()?.bits(),
        })
    }

    fn freeze(&mut self, file: &OpenFile) -> Result<(), Errno> {
        let id = id(file.as_fd()).ok_or(Errno::EIO)?;
        let size_bytes = size_of_file(file.as_fd()).ok_or(Errno::EIO)?;
        let file = file.clone();
        let frozen = Frozen { file, size_bytes };
        self.frozen.borrow_mut().insert(id, frozen);
        Ok(())
    }

    fn thaw(&mut self, file: &OpenFile) {
        if let Some(id) = id(file.as_fd()) {
            self.frozen.borrow_mut().remove(&id);
        }
    }

    fn data(&mut self, file: &OpenFile, offset: u64) -> Option<Range<u64>> {
        // The position is the program's: it is put back.
        let pos = rustix::fs::tell(file).ok()?;
        let start = rustix::fs::seek(file, SeekFrom::Data(offset)).ok();
        let end = start.and_then(|start| rustix::fs::seek(file, SeekFrom::Hole(start)).ok());
        rustix::fs::seek(file, SeekFrom::Start(pos)).ok()?;
        Some(start?..end?)
    }

    fn read_at(
        &mut self,
        file: &OpenFile,
        mut offset: u64,
        mut bytes: &mut [u8],
    ) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match rustix::io::pread(file, &mut *bytes, offset) {
                Ok(0) => return Err(Errno::EIO),
                Ok(done) => {
                    bytes = bytes.get_mut(done..).unwrap_or_default();
                    offset = offset.saturating_add(u64::try_from(done).unwrap_or(0));
                }
                Err(rustix::io::Errno::INTR) => {}
                // Opened for writing only: its pages are read all the same, through a new
                // description.
                Err(rustix::io::Errno::BADF) => {
                    let again = reopen(file.as_fd())?;
                    return self.read_at(&again, offset, bytes);
                }
                Err(other) => return Err(errno(other)),
            }
        }
        Ok(())
    }

    fn create(&mut self, size: u64, mode: u32) -> Result<OpenFile, Errno> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = match rustix::fs::memfd_create("", flags | MFD_EXEC) {
            Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("", flags),
            answer => answer,
        };
        let fd = fd.map_err(errno)?;
        rustix::fs::ftruncate(&fd, size).map_err(errno)?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).map_err(errno)?;
        Ok(OpenFile::new(fd))
    }

    fn write_at(
        &mut self,
        file: &OpenFile,
        mut offset: u64,
        mut bytes: &[u8],
    ) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(file, bytes, offset) {
                Ok(0) => return Err(Errno::EIO),
                Ok(done) => {
                    bytes = bytes.get(done..).unwrap_or_default();
                    offset = offset.saturating_add(u64::try_from(done).unwrap_or(0));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(other) => return Err(errno(other)),
            }
        }
        Ok(())
    }

    fn finish_create(&mut self, file: &OpenFile, pos: u64, seals: u32) -> Result<(), Errno> {
        rustix::fs::seek(file, SeekFrom::Start(pos)).map_err(errno)?;
        let seals = SealFlags::from_bits_retain(seals);
        if seals.is_empty() {
            return Ok(());
        }
        rustix::fs::fcntl_add_seals(file, seals).map_err(errno)
    }
}

fn reopen(fd: BorrowedFd<'_>) -> Result<OpenFile, Errno> {
    use rustix::fs::{CWD, OFlags, openat};
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let fd = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    Ok(OpenFile::new(fd.map_err(errno)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(size: u64) -> (Files, OpenFile) {
        let mut files = Files::default();
        let file = files.create(size, 0o777).unwrap();
        (files, file)
    }

    #[test]
    fn what_is_created_has_the_size_position_and_seals_given() {
        let (mut files, file) = made(10_000);
        files.write_at(&file, 8192, b"end").unwrap();
        files.finish_create(&file, 5, 0x2).unwrap();
        let state = files.shmem(&file).unwrap();
        assert_eq!((state.size, state.pos, state.links), (10_000, 5, 0));
        assert_eq!(state.seals, 0x2);
        assert_eq!(files.data(&file, 0), Some(8192..10_000));
        assert_eq!(files.data(&file, 10_000), None);
        assert_eq!(rustix::fs::tell(&file).unwrap(), 5, "the position stays");
        let mut bytes = [0; 3];
        files.read_at(&file, 8192, &mut bytes).unwrap();
        assert_eq!(&bytes, b"end");
    }

    #[test]
    fn only_shmem_is_shmem_and_reopened_files_are_the_same() {
        let (mut files, file) = made(1);
        let again = reopen(file.as_fd()).unwrap();
        let inode = files.shmem(&file).unwrap().inode;
        assert_eq!(files.shmem(&again).unwrap().inode, inode);
        let other = files.create(1, 0o600).unwrap();
        assert_ne!(files.shmem(&other).unwrap().inode, inode);
        for path in ["/dev/null", "/proc/self/exe", "/"] {
            let file = OpenFile::new(std::fs::File::open(path).unwrap().into());
            assert_eq!(files.shmem(&file), None, "{path}");
        }
    }

    #[test]
    fn a_frozen_file_is_known_until_it_is_thawed_and_growth_is_seen() {
        let (mut files, file) = made(100);
        files.freeze(&file).unwrap();
        assert_eq!(files.frozen_size(file.as_fd()), Some(100));
        assert_eq!(files.grown(), []);
        files.write_at(&file, 100, b"x").unwrap();
        let grown = Grown {
            from_bytes: 100,
            to_bytes: 101,
        };
        assert_eq!(files.grown(), [grown]);
        files.thaw(&file);
        assert_eq!(files.frozen_size(file.as_fd()), None);
    }

    #[test]
    fn a_file_open_for_writing_only_is_read() {
        use rustix::fs::{CWD, OFlags, openat};
        use std::os::fd::AsRawFd as _;
        let (mut files, file) = made(4);
        files.write_at(&file, 0, b"text").unwrap();
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        let writer = openat(CWD, path, OFlags::WRONLY, Mode::empty()).unwrap();
        let mut bytes = [0; 4];
        files
            .read_at(&OpenFile::new(writer), 0, &mut bytes)
            .unwrap();
        assert_eq!(&bytes, b"text");
    }
}
