//! What failed and what this errno means for it.

use std::io;

use rustix::io::Errno;

/// A failed call of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `kexec_file_load(2)` failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The image could not be copied into memory.
    #[error("copying the {what} into a sealed memfd")]
    Copy {
        /// `kernel` or `initrd`.
        what: &'static str,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The image is larger than any memory could take.
    #[error("the {what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// `kernel` or `initrd`.
        what: &'static str,
        /// The limit.
        limit_bytes: u64,
    },
    /// `reboot(2)` failed.
    #[error("reboot(LINUX_REBOOT_CMD_KEXEC): {} ({errno})", reboot_meaning(*errno))]
    Reboot {
        /// What the kernel answered: its own, or what a file handler answered to freeze.
        errno: Errno,
    },
}

/// `kexec_file_load(2)` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kexec_file_load: {} ({errno})", load_meaning(*errno))]
pub struct LoadError {
    errno: Errno,
}

impl LoadError {
    pub(crate) const fn new(errno: Errno) -> Self {
        Self { errno }
    }

    /// What the kernel answered.
    pub const fn errno(&self) -> Errno {
        self.errno
    }
}

/// `kexec_load(2)` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kexec_load: {} ({errno})", load_segments_meaning(*errno))]
pub struct LoadSegmentsError {
    errno: Errno,
}

impl LoadSegmentsError {
    pub(crate) const fn new(errno: Errno) -> Self {
        Self { errno }
    }

    /// What the kernel answered.
    pub const fn errno(&self) -> Errno {
        self.errno
    }
}

/// Read from `kernel/kexec.c` and `sanity_check_segment_list`, `kernel/kexec_core.c` (v7.3).
fn load_segments_meaning(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => {
            "not permitted: needs root (CAP_SYS_BOOT), kernel.kexec_load_disabled=0, a load left in kernel.kexec_load_limit_reboot and no lockdown: without signatures on segments, a kernel under lockdown refuses them all"
        }
        Errno::ADDRNOTAVAIL => "a segment does not start and end at a page, or is out of reach",
        Errno::INVAL => {
            "more than 16 segments, two that overlap, one with more content than length, or more than half of the memory in all"
        }
        Errno::BUSY => "another kexec load is under way",
        Errno::NOSYS => "the kernel is built without CONFIG_KEXEC",
        Errno::NOMEM => "not enough memory to hold the segments",
        _ => "the kernel refused the segments",
    }
}

/// Read from `kernel/kexec_file.c`, `kernel/kexec_core.c`, `arch/x86/kernel/kexec-bzimage64.c`
/// (v7.3) and from running them.
fn load_meaning(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => {
            "not permitted: needs root (CAP_SYS_BOOT), kernel.kexec_load_disabled=0, a load left in kernel.kexec_load_limit_reboot and no lockdown against unsigned images"
        }
        Errno::NOEXEC => "the file is no kernel image this kernel can start",
        Errno::ADDRNOTAVAIL => {
            "kernel and initrd do not fit into the KHO scratch areas; use a smaller initrd, or boot with a larger kho_scratch="
        }
        Errno::KEYREJECTED | Errno::NOKEY | Errno::BADMSG | Errno::NODATA => {
            "the image's signature is missing or not trusted by this kernel"
        }
        Errno::BUSY => "another kexec load is under way",
        Errno::NOSYS => "the kernel is built without CONFIG_KEXEC_FILE",
        Errno::NOMEM => "not enough memory to hold the image",
        Errno::FBIG | Errno::INVAL => {
            "the image, the initrd or the command line is not acceptable (empty file, command line too long)"
        }
        Errno::BADF => "a descriptor is not open for reading",
        _ => "the kernel refused the image",
    }
}

fn reboot_meaning(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => "needs root (CAP_SYS_BOOT)",
        Errno::INVAL => "no kernel is loaded, or kexec is not built in",
        Errno::BUSY => "a kexec load is under way",
        _ => "the kernel refused to jump; whatever it had frozen is unfrozen again",
    }
}
