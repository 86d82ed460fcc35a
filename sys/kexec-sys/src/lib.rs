//! Loading and starting the next kernel.
//!
//! * [`load()`] gives the kernel an image through `kexec_file_load(2)`, the only call that hands this
//!   kernel's KHO tree to the next one (`kernel/kexec_file.c`, v7.3).
//! * [`load_segments`] gives it pieces of memory through `kexec_load(2)`. This kernel adds nothing
//!   to them: whatever it has preserved is lost at the jump. A handover in the segments is one that
//!   was composed, with a `setup_data` of ours (crate `handoff`), and never this kernel's.
//! * [`Machine`] is what such segments must know of the machine: its memory, its ACPI tables.
//! * [`status`] reads what is loaded and what the limits are.
//! * [`reboot`] jumps.

mod error;
mod image;
mod load;
mod machine;
pub mod reboot;
mod segments;
pub mod status;

pub use error::{Error, LoadError, LoadSegmentsError};
pub use image::SealedImage;
pub use load::{load, unload};
pub use machine::{Machine, MachineError, MachinePaths};
pub use segments::{load_segments, unload_segments};
