//! The chain of kexec boots. C header: `include/linux/kho/abi/kexec_metadata.h`, v7.2 and v7.3.
//!
//! The subtree [`NODE_NAME`] is one [`KexecMetadata`]. A reader needs 4 bytes to learn the
//! version and the whole struct for version 1; it warns about and ignores other versions.

use zerocopy::native_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Name of the KHO subtree.
#[doc(alias = "KHO_METADATA_NODE_NAME")]
pub const NODE_NAME: &str = "kexec-metadata";
/// Version of this layout.
#[doc(alias = "KHO_KEXEC_METADATA_VERSION")]
pub const VERSION: u32 = 1;
/// Bytes of a release with its NUL: `__NEW_UTS_LEN + 1` (`include/uapi/linux/utsname.h`).
#[doc(alias = "__NEW_UTS_LEN")]
pub const RELEASE_LENGTH: usize = 65;

/// Where this boot came from; 73 bytes, packed, hence the unaligned integers.
#[doc(alias = "kho_kexec_metadata")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct KexecMetadata {
    /// [`VERSION`].
    pub version: U32,
    /// Release of the kernel that started this one, NUL-terminated.
    pub previous_release: [u8; RELEASE_LENGTH],
    /// Kexec boots since the cold boot; 1 in what the first kernel hands over.
    pub kexec_count: U32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<KexecMetadata>() == 73);
    assert!(offset_of!(KexecMetadata, previous_release) == 4);
    assert!(offset_of!(KexecMetadata, kexec_count) == 69);
};
