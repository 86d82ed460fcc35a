//! Varlink over Unix sockets with descriptors, blocking, both sides.
//!
//! A Varlink message is a JSON object ended by a NUL byte (<https://varlink.org/Method-Call>).
//! Descriptors travel beside it (`SCM_RIGHTS`), attached to the message's first byte.
//!
//! * [`Channel`] sends and receives messages;
//! * [`Client`] calls methods;
//! * [`Server`] answers them through a [`Handler`], with a thread for each call under way and none for
//!   the connections that wait, and answers `org.varlink.service` (introspection) itself.
//!
//! Why not one of the published crates: they need an async runtime on both sides, and a service
//! that only wants its memory back should not have to bring one.
//!
//! The kernel may join the bytes of two messages in one read, and then nobody can tell whose the
//! descriptors are. It does not read on behind bytes that came with descriptors (`unix(7)`). So a
//! descriptor is only ever sent with a call that follows no unanswered one, or only such as came with
//! a descriptor themselves; and a message that comes with descriptors and with bytes of the next
//! message is refused.

mod channel;
mod client;
mod error;
mod message;
mod server;

pub use channel::{Channel, Frame, MAX_FDS, MAX_MESSAGE_BYTES};
pub use client::{CallError, Client};
pub use error::WireError;
pub use message::{Request, Response};
pub use server::{Handler, Interface, Peer, Replies, Server, ServerInfo, Source, Waker};
