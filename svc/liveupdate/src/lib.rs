//! Keep memory over a service's own restart, the agent's restart, and a live update of the kernel.
//!
//! Vocabulary:
//!
//! * A *service* is your program, under a name of its own. A *memfd* is memory with a descriptor;
//!   map it and build your data in it, with offsets instead of pointers.
//! * A [`Store`] answers one question: *give me the memfd I kept under this name, or make a new
//!   one*. [`Item::origin`] says which it was.
//! * [`Store::finish`] says that you have everything back and run: only then is the previous
//!   kernel's hand-over let go.
//! * [`Events`] tell of PREPARE (memory is being preserved: its size is fixed, go on working),
//!   FREEZE (stop changing it, then answer), CANCEL (go on as before).
//!
//! A complete service:
//!
//! ```no_run
//! use liveupdate::{EventKind, MemfdSpec, Store};
//!
//! # fn run() -> Result<(), liveupdate::Error> {
//! let mut store = Store::connect("counter")?;
//! let item = store.memfd("state", &MemfdSpec::new(4096).schema(1))?;
//! println!("state is {:?}, schema {}", item.origin(), item.schema());
//! // … map item.fd(), look at it, start to serve …
//! store.running()?;
//! store.finish()?;
//!
//! // In a thread of its own, or polled with `events.as_fd()`:
//! let mut events = store.events()?;
//! while let Some(event) = events.next()? {
//!     match event.kind() {
//!         EventKind::Prepare => events.ready(&event)?,
//!         EventKind::Freeze => {
//!             // … stop changing the memory …
//!             events.ready(&event)?;
//!         }
//!         EventKind::Cancel => { /* … go on … */ }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Two ways to be kept: [`Store::connect`] through the agent `luod`, for services; and
//! [`Store::direct`] with `/dev/liveupdate` itself, for a program that is its only user (an
//! initramfs, a test). No async runtime is needed or started; every call blocks.
//!
//! Under the store are [`Device`] and [`Session`], the kernel's own calls as owned types.

mod direct;
mod error;
mod events;
mod item;
mod luod;
mod spec;
mod store;

pub use error::Error;
pub use events::{Event, EventKind, Events};
pub use item::{Item, Origin};
pub use luo_sys::{Device, Error as KernelError, Incoming, Outgoing, Session, SessionName, Token};
pub use luod_api::{Code, Refusal};
pub use spec::{MemfdSpec, Seals};
pub use store::{Preserved, Store};
