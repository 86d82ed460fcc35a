//! Files whose content can be handed over: what the memfd handler needs of the world.

use core::ops::Range;

use crate::errno::Errno;

/// State of a shmem file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmemState {
    /// Identity: the same for every open file of one inode, and for no other inode.
    pub inode: u64,
    /// Names the file has: 0 for a memfd, and for a file of tmpfs that was unlinked.
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
    /// Position of the open file in bytes.
    pub pos: u64,
    /// `F_SEAL_*`.
    pub seals: u32,
}

/// Files whose content can be handed over.
pub trait ShmemFiles {
    /// An open file. A clone is one more reference to the same open file.
    type File: Clone;

    /// State of the file; `None` unless it is in shmem (a memfd, tmpfs) with pages of the normal
    /// size.
    fn shmem(&mut self, file: &Self::File) -> Option<ShmemState>;

    /// Holds the size and the allocation of the file from now on, as far as the world can:
    /// `shmem_freeze(inode, true)`. Content may change.
    ///
    /// # Errors
    /// The file cannot be preserved.
    fn freeze(&mut self, file: &Self::File) -> Result<(), Errno>;

    /// Takes [`ShmemFiles::freeze`] back.
    fn thaw(&mut self, file: &Self::File);

    /// The first part of the file at or behind `offset` that has content, in bytes; `None` when
    /// only a hole follows. Holes are not read.
    fn data(&mut self, file: &Self::File, offset: u64) -> Option<Range<u64>>;

    /// Reads content; all of `bytes` is inside the file.
    ///
    /// # Errors
    /// The file cannot be handed over.
    fn read_at(&mut self, file: &Self::File, offset: u64, bytes: &mut [u8]) -> Result<(), Errno>;

    /// A new memfd of `size` bytes, all holes, with an empty name, `mode` and no seal, open for
    /// reading and writing.
    ///
    /// # Errors
    /// No such file can be had.
    fn create(&mut self, size: u64, mode: u32) -> Result<Self::File, Errno>;

    /// Writes content of a file that was just created.
    ///
    /// # Errors
    /// The content cannot be had.
    fn write_at(&mut self, file: &Self::File, offset: u64, bytes: &[u8]) -> Result<(), Errno>;

    /// Sets position and seals when all content is there.
    ///
    /// # Errors
    /// A seal cannot be set.
    fn finish_create(&mut self, file: &Self::File, pos: u64, seals: u32) -> Result<(), Errno>;
}
