//! The wire interface of `luod`: Varlink definitions, the types of their parameters, and errors.
//!
//! Two interfaces on one socket ([`SOCKET_PATH`]):
//!
//! * [`service`]: `io.liveupdate.Service`, for programs that keep memory over an update;
//! * [`manager`]: `io.liveupdate.Manager`, for operators; what changes something is for root.
//!
//! A refusal is a [`Refusal`]: a [`Code`] that is the name of the Varlink error and the exit code
//! of `luoctl`, a message that names the cause, and a hint what to do.

pub mod manager;
mod refusal;
pub mod service;

pub use refusal::{ApiError, Code, Refusal};

/// Where `luod` listens.
pub const SOCKET_PATH: &str = "/run/luod/liveupdate.sock";
/// Environment variable with another path of the socket.
pub const SOCKET_ENV: &str = "LIVEUPDATE_SOCKET";

/// The path of the socket: [`SOCKET_ENV`] if set, else [`SOCKET_PATH`].
pub fn socket_path() -> std::path::PathBuf {
    std::env::var_os(SOCKET_ENV).map_or_else(|| SOCKET_PATH.into(), Into::into)
}

/// The interfaces, for the server.
pub const INTERFACES: &[live_varlink::Interface] = &[
    live_varlink::Interface {
        name: service::NAME,
        description: include_str!("io.liveupdate.Service.varlink"),
    },
    live_varlink::Interface {
        name: manager::NAME,
        description: include_str!("io.liveupdate.Manager.varlink"),
    },
];
