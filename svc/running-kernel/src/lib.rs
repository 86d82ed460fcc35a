//! What is known of the kernel that runs, as far as it matters to the next one.
//!
//! [`Sources`] says where it is looked for: `/proc`, `/sys`, `/boot`. What is not there, or may not be
//! read, stays unknown; nothing here fails.

mod config;
mod log_facts;
mod origin;
mod sources;

pub use origin::{Origin, OriginSource};
pub use sources::Sources;
