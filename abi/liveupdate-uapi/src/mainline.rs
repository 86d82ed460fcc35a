//! The mainline dialect. C header: `include/uapi/linux/liveupdate.h`, v7.2 and v7.3.
//!
//! Every argument starts with its own `size` in bytes. The kernel accepts a larger size when the
//! bytes it does not know are zero (`E2BIG` otherwise) and refuses a smaller one (`EINVAL`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a session name with its NUL: names have 1 to 63 bytes.
#[doc(alias = "LIVEUPDATE_SESSION_NAME_LENGTH")]
pub const SESSION_NAME_LENGTH: usize = 64;

/// First command number understood by the device.
#[doc(alias = "LIVEUPDATE_CMD_BASE")]
pub const CMD_BASE: u8 = 0x00;
/// First command number understood by a session.
#[doc(alias = "LIVEUPDATE_CMD_SESSION_BASE")]
pub const CMD_SESSION_BASE: u8 = 0x40;

/// `_IO(0xBA, 0x00)` on the device: create an outgoing session.
#[doc(alias = "LIVEUPDATE_IOCTL_CREATE_SESSION")]
pub const IOCTL_CREATE_SESSION: u32 = 0xBA00;
/// `_IO(0xBA, 0x01)` on the device: retrieve an incoming session.
#[doc(alias = "LIVEUPDATE_IOCTL_RETRIEVE_SESSION")]
pub const IOCTL_RETRIEVE_SESSION: u32 = 0xBA01;
/// `_IO(0xBA, 0x40)` on an outgoing session: preserve a descriptor under a token.
#[doc(alias = "LIVEUPDATE_SESSION_PRESERVE_FD")]
pub const SESSION_PRESERVE_FD: u32 = 0xBA40;
/// `_IO(0xBA, 0x41)` on an incoming session: retrieve the descriptor of a token.
#[doc(alias = "LIVEUPDATE_SESSION_RETRIEVE_FD")]
pub const SESSION_RETRIEVE_FD: u32 = 0xBA41;
/// `_IO(0xBA, 0x42)` on an incoming session: finish it.
#[doc(alias = "LIVEUPDATE_SESSION_FINISH")]
pub const SESSION_FINISH: u32 = 0xBA42;
/// `_IO(0xBA, 0x43)` on any session: read its name (since v7.2).
#[doc(alias = "LIVEUPDATE_SESSION_GET_NAME")]
pub const SESSION_GET_NAME: u32 = 0xBA43;

/// Argument of [`IOCTL_CREATE_SESSION`]; 72 bytes.
#[doc(alias = "liveupdate_ioctl_create_session")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CreateSession {
    /// Bytes of this argument.
    pub size: u32,
    /// Out: descriptor of the new session, close-on-exec.
    pub fd: i32,
    /// In: name, NUL-terminated.
    pub name: [u8; SESSION_NAME_LENGTH],
}

/// Argument of [`IOCTL_RETRIEVE_SESSION`]; 72 bytes.
#[doc(alias = "liveupdate_ioctl_retrieve_session")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RetrieveSession {
    /// Bytes of this argument.
    pub size: u32,
    /// Out: descriptor of the session, close-on-exec.
    pub fd: i32,
    /// In: name, NUL-terminated.
    pub name: [u8; SESSION_NAME_LENGTH],
}

/// Argument of [`SESSION_PRESERVE_FD`]; 16 bytes.
#[doc(alias = "liveupdate_session_preserve_fd")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PreserveFd {
    /// Bytes of this argument.
    pub size: u32,
    /// In: descriptor to preserve.
    pub fd: i32,
    /// In: opaque token, unique within the session; every value is legal.
    pub token: u64,
}

/// Argument of [`SESSION_RETRIEVE_FD`]; 16 bytes.
#[doc(alias = "liveupdate_session_retrieve_fd")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RetrieveFd {
    /// Bytes of this argument.
    pub size: u32,
    /// Out: retrieved descriptor, close-on-exec.
    pub fd: i32,
    /// In: token given when the descriptor was preserved.
    pub token: u64,
}

/// Argument of [`SESSION_FINISH`]; 8 bytes.
#[doc(alias = "liveupdate_session_finish")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Finish {
    /// Bytes of this argument.
    pub size: u32,
    /// Must be zero (`EINVAL`).
    pub reserved: u32,
}

/// Argument of [`SESSION_GET_NAME`]; 72 bytes.
#[doc(alias = "liveupdate_session_get_name")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct GetName {
    /// Bytes of this argument.
    pub size: u32,
    /// Must be zero (`EINVAL`).
    pub reserved: u32,
    /// Out: name, NUL-terminated.
    pub name: [u8; SESSION_NAME_LENGTH],
}

const _: () = {
    assert!(size_of::<CreateSession>() == 72);
    assert!(size_of::<RetrieveSession>() == 72);
    assert!(size_of::<PreserveFd>() == 16);
    assert!(size_of::<RetrieveFd>() == 16);
    assert!(size_of::<Finish>() == 8);
    assert!(size_of::<GetName>() == 72);
};
