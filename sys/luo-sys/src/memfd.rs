//! Memfds as they can be preserved.

use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

/// Makes a memfd that comes back as it was: close-on-exec, empty, without seals, and it takes seals.
///
/// Never `MFD_NOEXEC_SEAL`: Linux 7.2 and 7.3 bring such a memfd back with every write seal set
/// (`memfd_add_seals`, `mm/memfd.c`). `MFD_EXEC` is said explicitly, as `vm.memfd_noexec=1` makes the
/// other the default; kernels before 6.3 know neither.
///
/// # Errors
/// Those of `memfd_create(2)`.
pub fn create_memfd(name: &str) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    memfd_create(name, flags | MemfdFlags::EXEC).or_else(|_errno| memfd_create(name, flags))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{SealFlags, fcntl_get_seals};

    use super::*;

    #[test]
    fn it_takes_seals_and_has_none_that_come_back_as_others() {
        let seals = fcntl_get_seals(create_memfd("m").unwrap()).unwrap();
        assert!(
            !seals.intersects(SealFlags::SEAL | SealFlags::EXEC),
            "{seals:?}"
        );
    }
}
