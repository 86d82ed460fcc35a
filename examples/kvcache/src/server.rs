//! One thread, one event loop, many connections: [`Server`], and [`Control`] to pause it.

mod connection;
mod control;
mod event_loop;
mod listener;

pub use control::{Control, ControlError};
pub use event_loop::{Server, ServerError};
pub use listener::Listener;
