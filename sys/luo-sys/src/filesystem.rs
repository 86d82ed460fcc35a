//! What file system a file is on: the kernel preserves memfds, which are files of tmpfs.

use std::os::fd::AsFd;

use rustix::fs::fstatfs;
use rustix::io::Errno;

/// `TMPFS_MAGIC` (`include/uapi/linux/magic.h`, v7.3): memfds and tmpfs, not hugetlbfs.
pub const TMPFS_MAGIC: u32 = 0x0102_1994;

/// The magic number of the file system that a file is on, which is 32 bits wide (`include/uapi/linux/magic.h`, v7.3).
///
/// # Errors
/// Those of `fstatfs(2)`.
pub fn filesystem_magic(file: impl AsFd) -> Result<u32, Errno> {
    let found = fstatfs(file)?;
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "magic numbers are 32 bits wide in a signed word"
    )]
    let magic = found.f_type as u32;
    Ok(magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memfd_is_on_tmpfs_and_a_file_of_proc_is_not() {
        let memfd = crate::create_memfd("m").unwrap();
        assert_eq!(filesystem_magic(memfd), Ok(TMPFS_MAGIC));
        let other = std::fs::File::open("/proc/self/stat").unwrap();
        assert_eq!(filesystem_magic(other), Ok(0x9fa0));
    }
}
