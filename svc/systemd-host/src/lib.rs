//! What `luod` says to systemd and asks of it.
//!
//! * [`FdStore`] is the store of descriptors that systemd keeps for a service: over its restart, and over
//!   `systemctl kexec`, where sessions of `/dev/liveupdate` come back as incoming sessions.
//! * [`notify`] has readiness and watchdog.
//! * [`Login`] is logind: [locks](Login::inhibit) that refuse or delay a shutdown, and [word](Login::shutdowns) of one.
//! * [`start_next_kernel`] is `systemctl kexec`; [`kexec_count`] tells how many systemd has come through, and [`version`]
//!   whether it comes through one at all.
//!
//! Behaviour of systemd is as observed on 262.1.

mod error;
mod login;
mod manager;
pub mod notify;
mod store;

pub use error::Error;
pub use login::{Login, Mode, Shutdown, Shutdowns};
pub use manager::{FIRST_WITH_STORES, kexec_count, start_next_kernel, version};
pub use store::{Age, FdStore, Found, Kind};
