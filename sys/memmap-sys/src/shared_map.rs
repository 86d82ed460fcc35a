//! [`SharedMap`], and why its safe interface is sound.
//!
//! * *The pages stay.* Only a file that carries `F_SEAL_SHRINK` is mapped, and only as much as it
//!   has; seals cannot be taken back, so no access can raise `SIGBUS` for lack of a page.
//! * *No references to the bytes.* Other processes may hold the same file, so its content can
//!   change at any time. It is only ever reached through relaxed or releasing operations on
//!   `AtomicU64`, which have no undefined values: a racing writer gives surprising bytes, never
//!   undefined behaviour. What is read is an allegation for the caller to check.
//! * *One width.* Every access is a whole aligned word; the last bytes of a copy are taken from or
//!   merged into their word. Accesses of different width never meet.
//! * *One thread.* The type is `Send` and not `Sync`, so merging bytes into a word cannot race
//!   with another access through the same map.
//!
//! [`SharedMap::store_u64`] is ordered with every other access of the same thread: when the
//! process is killed, the file holds everything up to some point of the program and nothing after
//! it. A kill takes effect between two instructions, so ordering the compiler is enough for that.
#![expect(
    unsafe_code,
    reason = "mapping memory; the argument is in the module's documentation"
)]

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// A shared, writable mapping of the start of a sealed memfd.
///
/// # Invariants
///
/// `words` points to `count` words of a live mapping that nothing else unmaps, of a file that
/// cannot shrink below them.
#[derive(Debug)]
pub struct SharedMap {
    words: NonNull<AtomicU64>,
    count: usize,
    not_sync: PhantomData<Cell<u64>>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and the value owns it.
unsafe impl Send for SharedMap {}

/// An access that is not inside the mapping, or does not start at a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange {
    /// First byte asked for.
    pub offset: u64,
    /// Bytes asked for.
    pub len: usize,
    /// Bytes of the mapping.
    pub mapped: u64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            len,
            mapped,
        } = self;
        write!(
            f,
            "{len} bytes at offset {offset:#x} are not inside {mapped:#x} mapped bytes or do not start at a word"
        )
    }
}

impl core::error::Error for OutOfRange {}

impl SharedMap {
    /// Maps the first `len` bytes of a memfd, shared and writable.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when `len` is zero, not a multiple of 8 or more than the file has, or when
    /// the file does not carry `F_SEAL_SHRINK`; otherwise what the kernel answers.
    pub fn map(fd: impl AsFd, len: usize) -> io::Result<Self> {
        let fd = fd.as_fd();
        let refuse = |why: &'static str| io::Error::new(io::ErrorKind::InvalidInput, why);
        if len == 0 || !len.is_multiple_of(WORD) {
            return Err(refuse("length to map is not a positive multiple of 8"));
        }
        if !fcntl_get_seals(fd)?.contains(SealFlags::SHRINK) {
            return Err(refuse(
                "memfd is not sealed with F_SEAL_SHRINK: it could shrink under the mapping",
            ));
        }
        let size = u64::try_from(fstat(fd)?.st_size).unwrap_or(0);
        if u64::try_from(len).is_ok_and(|len| len > size) {
            return Err(refuse("memfd is shorter than the length to map"));
        }
        // SAFETY: the kernel chooses the address, so no memory in use is replaced.
        let address = unsafe {
            mmap(
                null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let words = NonNull::new(address.cast()).ok_or_else(|| refuse("mapping at address 0"))?;
        // INVARIANT: mapped above for `len` bytes, page-aligned, sealed against shrinking.
        Ok(Self {
            words,
            count: len / WORD,
            not_sync: PhantomData,
        })
    }

    /// Mapped bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.count * WORD).unwrap_or(u64::MAX)
    }

    /// Always false: an empty mapping cannot be made.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Loads the word at `offset`.
    ///
    /// # Errors
    ///
    /// When `offset` is not that of a mapped word.
    #[inline]
    pub fn load_u64(&self, offset: u64) -> Result<u64, OutOfRange> {
        let words = self.span(offset, WORD)?;
        words
            .first()
            .map(|word| word.load(Ordering::Relaxed))
            .ok_or_else(|| self.out_of_range(offset, WORD))
    }

    /// Stores the word at `offset`, after every access before it and before every one after it.
    ///
    /// # Errors
    ///
    /// When `offset` is not that of a mapped word.
    #[inline]
    pub fn store_u64(&self, offset: u64, value: u64) -> Result<(), OutOfRange> {
        let words = self.span(offset, WORD)?;
        let Some(word) = words.first() else {
            return Err(self.out_of_range(offset, WORD));
        };
        compiler_fence(Ordering::SeqCst);
        word.store(value, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }

    /// Copies the bytes at `offset`, a multiple of 8, into `bytes`.
    ///
    /// # Errors
    ///
    /// When they are not all mapped.
    #[inline]
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        let words = self.span(offset, bytes.len())?;
        let (whole, rest) = bytes.as_chunks_mut::<WORD>();
        let (first, last) = words.split_at(whole.len().min(words.len()));
        for (chunk, word) in whole.iter_mut().zip(first) {
            *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if let Some(word) = last.first() {
            let word = word.load(Ordering::Relaxed).to_ne_bytes();
            for (byte, value) in rest.iter_mut().zip(word) {
                *byte = value;
            }
        }
        Ok(())
    }

    /// Copies `bytes` to `offset`, a multiple of 8.
    ///
    /// # Errors
    ///
    /// When not all of them fit; nothing is written then.
    #[inline]
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        let words = self.span(offset, bytes.len())?;
        let (whole, rest) = bytes.as_chunks::<WORD>();
        let (first, last) = words.split_at(whole.len().min(words.len()));
        for (chunk, word) in whole.iter().zip(first) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        if let Some(word) = last.first() {
            let mut merged = word.load(Ordering::Relaxed).to_ne_bytes();
            for (value, byte) in merged.iter_mut().zip(rest) {
                *value = *byte;
            }
            word.store(u64::from_ne_bytes(merged), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Words that cover `len` bytes from `offset`.
    #[inline]
    fn span(&self, offset: u64, len: usize) -> Result<&[AtomicU64], OutOfRange> {
        let word = size_of::<u64>();
        let range = usize::try_from(offset).ok().and_then(|offset| {
            let first = offset.is_multiple_of(word).then_some(offset / word)?;
            Some(first..first.checked_add(len.div_ceil(word))?)
        });
        range
            .and_then(|range| self.words().get(range))
            .ok_or_else(|| self.out_of_range(offset, len))
    }

    /// The whole mapping.
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: by the invariant the words are mapped as long as `self` lives, `mmap` aligned
        // them to a page, and every bit pattern is a valid `AtomicU64`.
        unsafe { core::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }

    #[cold]
    fn out_of_range(&self, offset: u64, len: usize) -> OutOfRange {
        OutOfRange {
            offset,
            len,
            mapped: self.len(),
        }
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // Unmapping a whole mapping of ours cannot fail; if it did, the pages would stay mapped.
        // SAFETY: by the invariant this is our mapping; no reference into it outlives `self`.
        let _unmapped = unsafe { munmap(self.words.as_ptr().cast(), self.count * WORD) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    fn memfd(len: u64, seals: SealFlags) -> OwnedFd {
        let fd = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&fd, len).unwrap();
        fcntl_add_seals(&fd, seals).unwrap();
        fd
    }

    #[test]
    fn two_maps_of_one_file_show_the_same_bytes() {
        let fd = memfd(8192, SealFlags::SHRINK);
        let (one, two) = (
            SharedMap::map(&fd, 8192).unwrap(),
            SharedMap::map(&fd, 8192).unwrap(),
        );
        for len in 0..40 {
            let data: Vec<u8> = (1..=len).collect();
            one.store_u64(16 + u64::from(len / 8) * 8, u64::MAX)
                .unwrap();
            one.write_at(16, &data).unwrap();
            let mut read = vec![0; data.len()];
            two.read_at(16, &mut read).unwrap();
            assert_eq!(read, data);
            // The rest of the last word keeps its bytes.
            let last = two
                .load_u64(16 + u64::from(len / 8) * 8)
                .unwrap()
                .to_ne_bytes();
            assert!(
                last[usize::from(len % 8)..]
                    .iter()
                    .all(|byte| *byte == 0xff)
            );
        }
    }

    #[test]
    fn accesses_outside_or_between_words_are_refused() {
        let map = SharedMap::map(memfd(4096, SealFlags::SHRINK), 4096).unwrap();
        assert!(map.load_u64(4088).is_ok());
        for offset in [1, 4, 4096, u64::MAX, u64::MAX - 7] {
            assert!(map.load_u64(offset).is_err());
            assert!(map.store_u64(offset, 1).is_err());
        }
        assert!(map.write_at(4088, &[1; 9]).is_err());
        assert_eq!(map.load_u64(4088), Ok(0));
        assert!(map.read_at(0, &mut vec![0; 4097]).is_err());
    }

    #[test]
    fn files_that_could_shrink_or_are_short_are_refused() {
        let kind = |fd, len| SharedMap::map(fd, len).unwrap_err().kind();
        let refused = io::ErrorKind::InvalidInput;
        assert_eq!(kind(memfd(4096, SealFlags::GROW), 4096), refused);
        assert_eq!(kind(memfd(4096, SealFlags::SHRINK), 8192), refused);
        assert_eq!(kind(memfd(4096, SealFlags::SHRINK), 0), refused);
        assert_eq!(kind(memfd(4096, SealFlags::SHRINK), 12), refused);
    }
}
