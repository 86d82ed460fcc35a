//! Files that symbols come from.
//!
//! * [`read()`]: any of them, unpacked if it is packed (features `xz`, `zstd`, `gzip`);
//! * [`kind()`]: which of them it is;
//! * [`LoadedModule`]: where the kernel has put the sections of a module (`/sys/module/NAME/sections`);
//! * [`module_files()`], [`module_name()`]: modules below a folder, and what the kernel calls them.
//!
//! What is in them is read by the crate `kernel-symbols`, which does no I/O.

mod content;
mod error;
mod kind;
mod loaded;
mod modules;

pub use content::{CONTENT_MAXIMUM_BYTES, read};
pub use error::FileError;
pub use kind::{FileKind, kind};
pub use loaded::{LoadedModule, SYS_MODULE};
pub use modules::{module_files, module_name};

/// The symbols of the running kernel.
pub const PROC_KALLSYMS: &str = "/proc/kallsyms";
