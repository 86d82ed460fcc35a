//! [`FileMap`], and why a slice of a mapped file is sound.
//!
//! A `&[u8]` must not change under its reader, and its pages must stay. The kernel promises both for a while to the
//! holder of a *read lease* (`fcntl(F_SETLEASE, F_RDLCK)`, `fs/locks.c`, v7.3):
//!
//! * *Nobody writes now.* The lease is refused when the file is open for writing anywhere; a writable mapping keeps
//!   its file open.
//! * *Nobody begins to write.* Opening for writing and truncating wait until the holder gave up the lease, or until
//!   `/proc/sys/fs/lease-break-time` (45 s) passed. The holder is told at once with `SIGIO`, whose default action ends
//!   the process: there is no reader left when the file changes. The disposition is checked before a file is mapped,
//!   and a program that maps files does not change it.
//! * *The lease outlives the mapping*: both belong to the value, the mapping goes first; when a process ends, its
//!   memory goes before its descriptors.
//!
//! A file that gives no lease (another owner without `CAP_LEASE`, a network file system, a writer) is not mapped.
#![expect(
    unsafe_code,
    reason = "mapping memory; the argument is in the module's documentation"
)]

use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::{NonNull, null, null_mut};
use core::slice;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The bytes of a file, mapped read-only for as long as nobody writes it.
///
/// # Invariants
///
/// `bytes` points to `len` bytes of a live mapping that nothing else unmaps, of a file under a read lease that
/// `_leased` holds.
#[derive(Debug)]
pub struct FileMap {
    bytes: NonNull<u8>,
    len: usize,
    _leased: File,
}

// SAFETY: the mapping belongs to the process, not to a thread, and the value owns it.
unsafe impl Send for FileMap {}
// SAFETY: shared access only reads, and by the invariant nobody writes.
unsafe impl Sync for FileMap {}

impl FileMap {
    /// Maps a whole file.
    ///
    /// # Errors
    ///
    /// `Unsupported` when the process would survive `SIGIO`; `InvalidInput` for what is no regular file, or an empty
    /// one; otherwise what the kernel answers, which refuses the lease with `EAGAIN` while the file is open for
    /// writing. A caller reads the file then.
    pub fn map(file: File) -> io::Result<Self> {
        let meta = file.metadata()?;
        let len = usize::try_from(meta.len()).unwrap_or(0);
        if !meta.is_file() || len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !ends_at_sigio()? {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // SAFETY: a plain system call on a descriptor that `file` keeps open.
        let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
        // The length under the lease: before it, the file could still change.
        if file.metadata()?.len() != meta.len() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // SAFETY: the kernel chooses the address, so no memory in use is replaced.
        let address = unsafe {
            mmap(
                null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::PRIVATE,
                &file,
                0,
            )
        }?;
        let bytes = NonNull::new(address.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        // INVARIANT: mapped above for `len` bytes of a file that has as many, leased above.
        Ok(Self {
            bytes,
            len,
            _leased: file,
        })
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: by the invariant the bytes are mapped as long as `self` lives and nobody writes them.
        unsafe { slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        // Unmapping a whole mapping of ours cannot fail; if it did, the pages would stay mapped.
        // SAFETY: by the invariant this is our mapping; no reference into it outlives `self`.
        let _unmapped = unsafe { munmap(self.bytes.as_ptr().cast(), self.len) };
    }
}

/// Tells whether `SIGIO` ends this process.
fn ends_at_sigio() -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action changes nothing, and the old one is written to memory of its type.
    let answer = unsafe { libc::sigaction(libc::SIGIO, null(), action.as_mut_ptr()) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it wrote the action.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_DFL)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;
    use std::{env, fs, thread, time};

    use super::*;

    #[test]
    fn a_mapped_file_has_the_bytes_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"some bytes").unwrap();
        let map = FileMap::map(File::open(&path).unwrap()).unwrap();
        assert_eq!(&*map, b"some bytes");
        let second = FileMap::map(File::open(&path).unwrap()).unwrap();
        assert_eq!(*second, *map);
    }

    #[test]
    fn a_file_open_for_writing_is_not_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut writer = File::create(&path).unwrap();
        writer.write_all(b"some bytes").unwrap();
        assert!(FileMap::map(File::open(&path).unwrap()).is_err());
        drop(writer);
        assert!(FileMap::map(File::open(&path).unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_file_with_bytes_is_not_mapped() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FileMap::map(File::open(folder.path()).unwrap()).is_err());
        let path = folder.path().join("empty");
        fs::write(&path, "").unwrap();
        assert!(FileMap::map(File::open(&path).unwrap()).is_err());
    }

    /// The test runs itself as the holder of a map, which must be dead before a write succeeds.
    #[test]
    fn a_writer_ends_the_reader_before_it_writes() {
        const HOLD: &str = "FILE_MAP_TEST_HOLD";
        if let Some(path) = env::var_os(HOLD) {
            let map = FileMap::map(File::open(&path).unwrap()).unwrap();
            fs::write(format!("{}.mapped", path.display()), "").unwrap();
            thread::sleep(time::Duration::from_secs(60));
            drop(map);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"some bytes").unwrap();
        let mut holder = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "file_map::tests::a_writer_ends_the_reader_before_it_writes",
            ])
            .env(HOLD, &path)
            .spawn()
            .unwrap();
        let mapped = folder.path().join("file.mapped");
        while !mapped.exists() {
            assert!(
                holder.try_wait().unwrap().is_none(),
                "the holder mapped nothing"
            );
            thread::sleep(time::Duration::from_millis(5));
        }
        fs::write(&path, b"other").unwrap();
        let status = holder.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGIO));
    }
}
