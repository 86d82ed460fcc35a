//! The manager's side of systemd's descriptor store, for a service that somebody else than systemd starts.
//!
//! A program written for `FileDescriptorStoreMax=` says `FDSTORE=1` on `$NOTIFY_SOCKET` and finds what it stored from
//! descriptor 3 on at its next start, with `$LISTEN_FDS` and `$LISTEN_FDNAMES` (`sd_notify(3)`, `sd_listen_fds(3)`, systemd
//! 262). Here the store is kept by luod, so it outlives the program, luod, and the kernel.
//!
//! * [`Sockets`] are where the program speaks, and where it is passed its descriptors;
//! * [`Message`] is what it says;
//! * [`Stored`] is what is kept of that: items of a [`Store`](liveupdate::Store) whose names start with [`PREFIX`];
//! * [`launch()`] is how a process takes the descriptors and becomes the program.

mod folder;
mod launch;
mod message;
mod sockets;
mod stored;

pub use launch::{LaunchError, launch};
pub use message::{Action, Message};
pub use sockets::{Heard, Sockets, Starts};
pub use stored::{Answer, MOST, PREFIX, Stored};
