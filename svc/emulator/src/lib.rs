//! A machine with live update for unmodified programs, without a kernel that has it.
//!
//! [`run`] starts a program whose calls of the live update interface are answered here, by the
//! engines `kho` and `luo`: opening `/dev/liveupdate`, its ioctls, `kexec_file_load()` and
//! `reboot(LINUX_REBOOT_CMD_KEXEC)`. An emulated kexec ends every supervised process, keeps the
//! emulated physical memory, and starts the next *generation* on it.
//!
//! The program may be linked in any way and written in any language, and needs no privilege: its
//! system calls are sent here by the kernel (crate `notify_sys`). This is emulation for development
//! and tests, not a security boundary.
//!
//! What the pieces are:
//!
//! * `machine` goes from generation to generation, `generation` waits for what happens in one.
//! * `call` names the system calls, `answer` answers them, `walk` finds out which file a path
//!   names, `nodes` are the files of the machine.
//! * `objects` are the descriptors given out, `files` those of the programs, `caller` is the engine's
//!   view of who calls.
//! * `kernel` holds the engines, `ram` their memory, `kernel_image` makes kernels to load.

mod answer;
mod call;
mod caller;
mod files;
mod generation;
mod inject;
mod kernel;
mod kernel_image;
mod machine;
mod nodes;
mod objects;
mod processes;
mod ram;
mod report;
mod stat;
mod walk;

pub use files::Grown;
pub use inject::{CallName, Effect, Injection, InjectionError, Part};
pub use kernel::{KernelConfig, Panic};
pub use kernel_image::kernel_image;
pub use kho::KhoDefects;
pub use luo::{Defects as LuoDefects, Dialect};
pub use machine::{Error, Exit, Options, run};
pub use notify_sys::Identity;
pub use ram::{MemorySize, MemorySizeError};
pub use report::{Event, Observer};
