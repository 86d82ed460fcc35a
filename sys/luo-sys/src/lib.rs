//! Safe access to the Live Update Orchestrator, `/dev/liveupdate`.
//!
//! * [`Device`] is the single-open device: open it, create or retrieve sessions, drop it. Sessions
//!   do not depend on it, and other programs (systemd 261 and newer among them) need it too.
//! * [`Session`] is one session; its direction is a type: descriptors are preserved into a
//!   [`Session<Outgoing>`] and retrieved from a [`Session<Incoming>`].
//! * [`Error`] carries the call and the errno and says what this errno means for this call.
//! * [`probe`] gives commands that no client gives, for tests.
//! * [`create_memfd`] makes a memfd that comes back as it was; [`filesystem_magic`] tells a memfd by its file system.
//! * [`absence`] finds out why there is no device, [`holder`] who keeps it busy.
//!
//! C header: `include/uapi/linux/liveupdate.h`; behaviour read from `kernel/liveupdate/` (v7.3).

pub mod absence;
mod device;
mod error;
mod filesystem;
pub mod holder;
mod ioctl;
mod memfd;
pub mod probe;
mod session;

pub use device::Device;
pub use error::{Call, Error};
pub use filesystem::{TMPFS_MAGIC, filesystem_magic};
pub use liveupdate_uapi::{DEVICE_PATH, NameError, SessionName};
pub use memfd::create_memfd;
pub use session::{Direction, Incoming, Outgoing, Session, Token};
