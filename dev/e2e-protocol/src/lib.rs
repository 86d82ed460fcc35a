//! Messages between a test on the host and the agent in the guest machine.
//!
//! One JSON object per line over a virtio-serial port. The guest opens every conversation:
//!
//! 1. after each boot the agent repeats [`ToHost::Hello`] until it hears [`ToGuest::Welcome`] with
//!    the same boot id: so the host finds the conversation again after a kexec, which the device
//!    does not announce;
//! 2. the host sends [`ToGuest::Call`]s, each with a number of its own, several at a time if it
//!    likes; each is answered by one [`ToHost::Reply`] with that number, in any order.
//!
//! A line cut short by a kexec is followed by a line break, so what cannot be parsed is one lost
//! line ([`line::Received::Garbage`]) and never a lost conversation.

pub mod line;
pub mod message;
pub mod text;

pub use message::{
    Autostart, BootedBy, Captured, Exit, Hello, KeptLog, Ran, Reply, Request, Target, ToGuest,
    ToHost, When,
};
pub use text::Bytes;

/// Name of the port that carries the conversation (`/sys/class/virtio-ports/*/name`).
pub const CONTROL_PORT: &str = "org.liveupdate.e2e.control";

/// Name of the port that the guest writes its agent log to; nothing is read from it.
pub const LOG_PORT: &str = "org.liveupdate.e2e.log";

/// Where the agent finds the services to start at boot: a JSON array of [`Autostart`].
pub const AUTOSTART_PATH: &str = "/etc/e2e/autostart.json";

/// Folder of the service logs in the guest, one file per service name.
pub const LOG_FOLDER: &str = "/run/log";

/// Most bytes kept of each output stream of a [`Request::Run`].
pub const OUTPUT_LIMIT: usize = 1 << 20;

/// Most content bytes in one [`Request::ReadFile`] or [`Request::WriteFile`].
pub const FILE_CHUNK: usize = 1 << 20;
