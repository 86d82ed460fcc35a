//! Which descriptors the kernel could preserve, told before it is asked.
//!
//! The kernel's own answer comes at PREPARE, when a refusal costs the operator an update. This
//! one comes when the descriptor is given into keeping, to the program that made the mistake.

use std::os::fd::BorrowedFd;

use luo_sys::{TMPFS_MAGIC, filesystem_magic};
use luod_api::{Code, Refusal};
use rustix::fs::{FileType, SealFlags, fcntl_get_seals, fstat};

/// `HUGETLBFS_MAGIC` (`include/uapi/linux/magic.h`, v7.3).
const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;
/// Pages a memfd can have at most to be preserved (`mm/memfd_luo.c`, v7.3: `EFBIG` past it).
const MAX_BYTES: u64 = (u32::MAX as u64) << 12;

/// A file that can be preserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preservable {
    pub(crate) size_bytes: u64,
    pub(crate) seals: u32,
}

/// Checks that the kernel has a handler for this file: a memfd or an unlinked tmpfs file.
pub(crate) fn check(file: BorrowedFd<'_>) -> Result<Preservable, Refusal> {
    let found = check_but_for_its_name(file)?;
    let stat = fstat(file).map_err(|errno| Refusal::new(Code::InvalidParameter, errno))?;
    if stat.st_nlink > 0 {
        return Err(refuse("a tmpfs file that still has a name"));
    }
    Ok(found)
}

/// The same for a file whose name is taken away later.
pub(crate) fn check_but_for_its_name(file: BorrowedFd<'_>) -> Result<Preservable, Refusal> {
    let stat = fstat(file).map_err(|errno| Refusal::new(Code::InvalidParameter, errno))?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Fifo => Some("a pipe"),
        FileType::Socket => Some("a socket"),
        FileType::Directory => Some("a directory"),
        FileType::CharacterDevice => Some("a character device"),
        FileType::BlockDevice => Some("a block device"),
        _ => Some("no file with memory of its own"),
    };
    if let Some(kind) = kind {
        return Err(refuse(kind));
    }
    let magic = filesystem_magic(file).map_err(|errno| Refusal::new(Code::Internal, errno))?;
    match magic {
        HUGETLBFS_MAGIC => return Err(refuse("a memfd of huge pages (MFD_HUGETLB)")),
        TMPFS_MAGIC => {}
        _ => return Err(refuse("a regular file, not on tmpfs")),
    }
    let size_bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size_bytes > MAX_BYTES {
        return Err(refuse("a memfd of more than 16 TiB"));
    }
    let seals = fcntl_get_seals(file).unwrap_or(SealFlags::empty()).bits();
    check_seals(SealFlags::from_bits_retain(seals))?;
    Ok(Preservable { size_bytes, seals })
}

/// A memfd made with `MFD_NOEXEC_SEAL` has `F_SEAL_EXEC`. Linux 7.2 and 7.3 make the new memfd
/// executable and then apply that seal, which adds every write seal (`memfd_add_seals`,
/// `mm/memfd.c`, v7.3): it would come back, and nothing could be written to it.
fn check_seals(seals: SealFlags) -> Result<(), Refusal> {
    if !seals.contains(SealFlags::EXEC) || seals.contains(SealFlags::WRITE) {
        return Ok(());
    }
    let text = "the memfd was made with MFD_NOEXEC_SEAL: a defect of Linux 7.2 and 7.3 brings it back read-only";
    Err(Refusal::new(Code::NotPreservable, text)
        .with_hint("make it with MFD_EXEC (vm.memfd_noexec=1 implies MFD_NOEXEC_SEAL without it)"))
}

fn refuse(kind: &str) -> Refusal {
    Refusal::new(
        Code::NotPreservable,
        format!("the descriptor is {kind}, which the kernel cannot preserve"),
    )
    .with_hint(
        "keep the data in a memfd (memfd_create without MFD_HUGETLB) or an unlinked tmpfs file",
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    fn reason(file: BorrowedFd<'_>) -> String {
        let refusal = check(file).unwrap_err();
        assert_eq!(refusal.code, Code::NotPreservable);
        refusal.message
    }

    #[test]
    fn a_memfd_passes_with_its_size_and_seals() {
        let memfd = memfd_create("m", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&memfd, 12345).unwrap();
        rustix::fs::fcntl_add_seals(&memfd, SealFlags::GROW).unwrap();
        let found = check(memfd.as_fd()).unwrap();
        assert_eq!(
            found,
            Preservable {
                size_bytes: 12345,
                seals: SealFlags::GROW.bits()
            }
        );
    }

    #[test]
    fn pipes_sockets_devices_and_files_are_named_for_what_they_are() {
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        assert!(reason(pipe.as_fd()).contains("a pipe"));
        let (socket, _other) = UnixStream::pair().unwrap();
        assert!(reason(socket.as_fd()).contains("a socket"));
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(reason(null.as_fd()).contains("a character device"));
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(reason(file.as_fd()).contains("a regular file"));
    }

    #[test]
    fn a_memfd_that_would_come_back_read_only_is_refused() {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
        let memfd = memfd_create("m", flags).unwrap();
        assert!(reason(memfd.as_fd()).contains("MFD_NOEXEC_SEAL"));
    }

    #[test]
    fn huge_pages_are_named() {
        // Needs no huge page: only a mapping would take one.
        match memfd_create("huge", MemfdFlags::HUGETLB) {
            Ok(huge) => assert!(reason(huge.as_fd()).contains("huge pages")),
            Err(errno) => eprintln!("not shown: this kernel makes no hugetlb memfd ({errno})"),
        }
    }
}
