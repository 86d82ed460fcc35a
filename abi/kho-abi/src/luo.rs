//! The Live Update Orchestrator's state, layout `luo-v5`. C header:
//! `include/linux/kho/abi/luo.h`, v7.2 and v7.3.
//!
//! The subtree [`ENTRY_NAME`] is one [`LuoSer`]. It points to a chain of blocks
//! ([`crate::block`]) of [`SessionSer`]; each of those to a chain of blocks of [`FileSer`]. FLBs
//! (objects shared by files, "file-lifecycle-bound") are in one page: [`FlbHeaderSer`], then
//! [`FlbSer`] entries.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Name of the KHO subtree.
#[doc(alias = "LUO_KHO_ENTRY_NAME")]
pub const ENTRY_NAME: &str = "LUO";
/// Version of this layout; a kernel panics on any other.
#[doc(alias = "LUO_ABI_COMPATIBLE")]
pub const COMPATIBLE: &str = "luo-v5";
/// Bytes of [`LuoSer::compatible`]: the string with its NUL, rounded up to 8.
#[doc(alias = "LUO_ABI_COMPAT_LEN")]
pub const COMPATIBLE_LENGTH: usize = 8;
/// Bytes of a file handler's name with its NUL.
#[doc(alias = "LIVEUPDATE_HNDL_COMPAT_LENGTH")]
pub const HANDLER_COMPATIBLE_LENGTH: usize = 48;
/// Bytes of an FLB's name with its NUL.
#[doc(alias = "LIVEUPDATE_FLB_COMPAT_LENGTH")]
pub const FLB_COMPATIBLE_LENGTH: usize = 48;
/// Bytes of a session's name with its NUL (`include/uapi/linux/liveupdate.h`).
#[doc(alias = "LIVEUPDATE_SESSION_NAME_LENGTH")]
pub const SESSION_NAME_LENGTH: usize = 64;
/// Pages of the FLB area (`kernel/liveupdate/luo_flb.c`).
#[doc(alias = "LUO_FLB_PGCNT")]
pub const FLB_PAGE_COUNT: u64 = 1;

/// Root of all LUO state; 32 bytes.
#[doc(alias = "luo_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct LuoSer {
    /// [`COMPATIBLE`], NUL-terminated; what follows the NUL is ignored.
    pub compatible: [u8; COMPATIBLE_LENGTH],
    /// Live updates since the cold boot; 1 in what the first kernel hands over.
    pub liveupdate_num: u64,
    /// Physical address of the first block of [`SessionSer`]; 0 when there is no session.
    pub sessions_pa: u64,
    /// Physical address of the [`FlbHeaderSer`]; 0 is accepted.
    pub flbs_pa: u64,
}

/// One preserved file; 64 bytes.
#[doc(alias = "luo_file_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FileSer {
    /// Name of the file handler, NUL-terminated: [`crate::memfd::COMPATIBLE`] for a memfd.
    pub compatible: [u8; HANDLER_COMPATIBLE_LENGTH],
    /// The handler's own word; for a memfd the physical address of its
    /// [`MemfdSer`](crate::memfd::MemfdSer).
    pub data: u64,
    /// Token given by the session's owner; every value is legal.
    pub token: u64,
}

/// The files of one session; 16 bytes.
#[doc(alias = "luo_file_set_ser")]
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FileSetSer {
    /// Physical address of the first block of [`FileSer`]; 0 when there is none.
    pub files: u64,
    /// Files over all blocks.
    pub count: u64,
}

/// One session; 80 bytes.
#[doc(alias = "luo_session_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SessionSer {
    /// Name, NUL-terminated, unique.
    pub name: [u8; SESSION_NAME_LENGTH],
    /// Its files, in the order they were preserved.
    pub file_set_ser: FileSetSer,
}

/// Start of the FLB page; 16 bytes.
#[doc(alias = "luo_flb_header_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FlbHeaderSer {
    /// Pages of the area: [`FLB_PAGE_COUNT`].
    pub pgcnt: u64,
    /// Entries that follow.
    pub count: u64,
}

/// One FLB; 64 bytes.
#[doc(alias = "luo_flb_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FlbSer {
    /// Name, NUL-terminated.
    pub name: [u8; FLB_COMPATIBLE_LENGTH],
    /// The FLB's own word, as its preserve operation returned it.
    pub data: u64,
    /// References: preserved files that depend on it, and outgoing users at the time of the jump.
    pub count: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(COMPATIBLE.len() < COMPATIBLE_LENGTH);
    assert!(size_of::<LuoSer>() == 32);
    assert!(offset_of!(LuoSer, liveupdate_num) == 8);
    assert!(offset_of!(LuoSer, sessions_pa) == 16);
    assert!(offset_of!(LuoSer, flbs_pa) == 24);
    assert!(size_of::<FileSer>() == 64);
    assert!(offset_of!(FileSer, data) == 48);
    assert!(offset_of!(FileSer, token) == 56);
    assert!(size_of::<FileSetSer>() == 16);
    assert!(offset_of!(FileSetSer, count) == 8);
    assert!(size_of::<SessionSer>() == 80);
    assert!(offset_of!(SessionSer, file_set_ser) == 64);
    assert!(size_of::<FlbHeaderSer>() == 16);
    assert!(offset_of!(FlbHeaderSer, count) == 8);
    assert!(size_of::<FlbSer>() == 64);
    assert!(offset_of!(FlbSer, data) == 48);
    assert!(offset_of!(FlbSer, count) == 56);
};
