//! The dialect of the LUO v4 patch series (September 2025). It was never merged; programs written
//! for it exist.
//!
//! The machine has one state ([`LiveupdateState`]) that events ([`LiveupdateEvent`]) move. Facts
//! for the device come from the series' `include/uapi/linux/liveupdate.h`. Those for session
//! descriptors come from the patches as discussed on the list. There is no such kernel to check
//! these layouts against.
//!
//! Numbers overlap with [`mainline`](crate::mainline); `size` tells the dialects apart except for
//! `0xBA41`, where both have 16 bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of [`CreateSession::name`] with its NUL.
pub const CREATE_SESSION_NAME_LENGTH: usize = 56;
/// Bytes of [`RetrieveSession::name`] with its NUL.
pub const RETRIEVE_SESSION_NAME_LENGTH: usize = 64;

/// `_IO(0xBA, 0x00)` on the device: read the machine's state.
#[doc(alias = "LIVEUPDATE_IOCTL_GET_STATE")]
pub const IOCTL_GET_STATE: u32 = 0xBA00;
/// `_IO(0xBA, 0x01)` on the device: send an event; `EOPNOTSUPP` for an unknown one.
#[doc(alias = "LIVEUPDATE_IOCTL_SET_EVENT")]
pub const IOCTL_SET_EVENT: u32 = 0xBA01;
/// `_IO(0xBA, 0x02)` on the device: create an outgoing session.
#[doc(alias = "LIVEUPDATE_IOCTL_CREATE_SESSION")]
pub const IOCTL_CREATE_SESSION: u32 = 0xBA02;
/// `_IO(0xBA, 0x03)` on the device: retrieve an incoming session, in `UPDATED` only.
#[doc(alias = "LIVEUPDATE_IOCTL_RETRIEVE_SESSION")]
pub const IOCTL_RETRIEVE_SESSION: u32 = 0xBA03;
/// `_IO(0xBA, 0x40)` on a session: preserve a descriptor.
#[doc(alias = "LIVEUPDATE_SESSION_PRESERVE_FD")]
pub const SESSION_PRESERVE_FD: u32 = 0xBA40;
/// `_IO(0xBA, 0x41)` on a session: stop preserving a descriptor.
#[doc(alias = "LIVEUPDATE_SESSION_UNPRESERVE_FD")]
pub const SESSION_UNPRESERVE_FD: u32 = 0xBA41;
/// `_IO(0xBA, 0x42)` on a session: restore a descriptor, in `UPDATED` only.
#[doc(alias = "LIVEUPDATE_SESSION_RESTORE_FD")]
pub const SESSION_RESTORE_FD: u32 = 0xBA42;
/// `_IO(0xBA, 0x43)` on a session: read its state.
#[doc(alias = "LIVEUPDATE_SESSION_GET_STATE")]
pub const SESSION_GET_STATE: u32 = 0xBA43;
/// `_IO(0xBA, 0x44)` on a session: send it an event; `EINVAL` for an unknown one.
#[doc(alias = "LIVEUPDATE_SESSION_SET_EVENT")]
pub const SESSION_SET_EVENT: u32 = 0xBA44;

/// State of the machine, or of a session; unknown values are kept.
#[doc(alias = "liveupdate_state")]
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct LiveupdateState(pub u32);

impl LiveupdateState {
    /// Not known yet.
    #[doc(alias = "LIVEUPDATE_STATE_UNDEFINED")]
    pub const UNDEFINED: Self = Self(0);
    /// No update in progress.
    #[doc(alias = "LIVEUPDATE_STATE_NORMAL")]
    pub const NORMAL: Self = Self(1);
    /// Every participant has prepared.
    #[doc(alias = "LIVEUPDATE_STATE_PREPARED")]
    pub const PREPARED: Self = Self(2);
    /// Every participant is frozen; the jump is next.
    #[doc(alias = "LIVEUPDATE_STATE_FROZEN")]
    pub const FROZEN: Self = Self(3);
    /// Booted by a live update that is not finished.
    #[doc(alias = "LIVEUPDATE_STATE_UPDATED")]
    pub const UPDATED: Self = Self(4);
}

/// What can be asked of the machine, or of a session; unknown values are kept.
#[doc(alias = "liveupdate_event")]
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct LiveupdateEvent(pub u32);

impl LiveupdateEvent {
    /// `NORMAL` to `PREPARED`.
    #[doc(alias = "LIVEUPDATE_PREPARE")]
    pub const PREPARE: Self = Self(0);
    /// `PREPARED` to `FROZEN`; only the reboot path may send it to the machine.
    #[doc(alias = "LIVEUPDATE_FREEZE")]
    pub const FREEZE: Self = Self(1);
    /// `UPDATED` to `NORMAL`.
    #[doc(alias = "LIVEUPDATE_FINISH")]
    pub const FINISH: Self = Self(2);
    /// `PREPARED` or `FROZEN` back to `NORMAL`.
    #[doc(alias = "LIVEUPDATE_CANCEL")]
    pub const CANCEL: Self = Self(3);
}

/// Argument of [`IOCTL_GET_STATE`]; 8 bytes.
#[doc(alias = "liveupdate_ioctl_get_state")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct GetState {
    /// Bytes of this argument.
    pub size: u32,
    /// Out: state of the machine.
    pub state: LiveupdateState,
}

/// Argument of [`IOCTL_SET_EVENT`]; 8 bytes.
#[doc(alias = "liveupdate_ioctl_set_event")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SetEvent {
    /// Bytes of this argument.
    pub size: u32,
    /// In: event.
    pub event: LiveupdateEvent,
}

/// Argument of [`IOCTL_CREATE_SESSION`]; 64 bytes.
#[doc(alias = "liveupdate_ioctl_create_session")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CreateSession {
    /// Bytes of this argument.
    pub size: u32,
    /// Out: descriptor of the new session.
    pub fd: i32,
    /// In: name, NUL-terminated.
    pub name: [u8; CREATE_SESSION_NAME_LENGTH],
}

/// Argument of [`IOCTL_RETRIEVE_SESSION`]; 72 bytes.
#[doc(alias = "liveupdate_ioctl_retrieve_session")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RetrieveSession {
    /// Bytes of this argument.
    pub size: u32,
    /// Out: descriptor of the session.
    pub fd: i32,
    /// In: name, NUL-terminated.
    pub name: [u8; RETRIEVE_SESSION_NAME_LENGTH],
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
    /// In: opaque token.
    pub token: u64,
}

/// Argument of [`SESSION_UNPRESERVE_FD`]; 16 bytes.
#[doc(alias = "liveupdate_session_unpreserve_fd")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UnpreserveFd {
    /// Bytes of this argument.
    pub size: u32,
    /// Must be zero (`EOPNOTSUPP`).
    pub reserved: u32,
    /// In: token given when the descriptor was preserved.
    pub token: u64,
}

/// Argument of [`SESSION_RESTORE_FD`]; 16 bytes.
#[doc(alias = "liveupdate_session_restore_fd")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RestoreFd {
    /// Bytes of this argument.
    pub size: u32,
    /// Out: restored descriptor.
    pub fd: i32,
    /// In: token given when the descriptor was preserved.
    pub token: u64,
}

/// Argument of [`SESSION_GET_STATE`]; 12 bytes.
#[doc(alias = "liveupdate_session_get_state")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SessionGetState {
    /// Bytes of this argument.
    pub size: u32,
    /// In: non-zero asks for the incoming session's state.
    pub incoming: u8,
    /// Must be zero.
    pub reserved: [u8; 3],
    /// Out: state of the session.
    pub state: LiveupdateState,
}

/// Argument of [`SESSION_SET_EVENT`]; 8 bytes.
#[doc(alias = "liveupdate_session_set_event")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SessionSetEvent {
    /// Bytes of this argument.
    pub size: u32,
    /// In: event.
    pub event: LiveupdateEvent,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<GetState>() == 8);
    assert!(offset_of!(GetState, state) == 4);
    assert!(size_of::<SetEvent>() == 8);
    assert!(size_of::<CreateSession>() == 64);
    assert!(offset_of!(CreateSession, name) == 8);
    assert!(size_of::<RetrieveSession>() == 72);
    assert!(size_of::<PreserveFd>() == 16);
    assert!(size_of::<UnpreserveFd>() == 16);
    assert!(offset_of!(UnpreserveFd, token) == 8);
    assert!(size_of::<RestoreFd>() == 16);
    assert!(size_of::<SessionGetState>() == 12);
    assert!(offset_of!(SessionGetState, state) == 8);
    assert!(size_of::<SessionSetEvent>() == 8);
};
