//! A guest machine for live-update tests.
//!
//! [`Machine`] is one QEMU virtual machine, fully emulated where the host cannot do better. Its
//! whole userspace is an initramfs that [`Initramfs`] puts together: the agent as process 1, the
//! programs under test, and the kernels to jump to. A test talks with the agent over a
//! virtio-serial port; the conversation survives a kexec, so a scenario reads from top to bottom:
//!
//! ```no_run
//! use std::time::Duration;
//! use e2e::{Initramfs, Machine, Series, artifacts};
//!
//! let kernel = artifacts::kernel(Series::V7_2)?;
//! let mut image = Initramfs::with_agent(&artifacts::guest_program("e2e-agent")?)?;
//! image.program(&artifacts::guest_program("luoctl")?)?;
//! let image = image.write_to("initramfs.cpio".as_ref())?;
//! let machine = Machine::builder(&kernel.image, &image, "logs".as_ref()).memory_mib(1024).boot()?;
//! machine.run(["/bin/luoctl", "status"])?.success()?;
//! machine.poweroff()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Builder::emulated`] makes the same machine without a kernel: on `luo-emu`, which needs neither
//! QEMU nor privileges. The conversation, the image and the programs in it are the same.
//!
//! Every wait has a deadline. Everything the machine says is kept in its log folder:
//! `serial.log` (console), `agent.log` (agent and services), `qemu.log` or `luo-emu.log`, `command` (to start the
//! same machine by hand), and, of a machine that was not switched off in order, `kernel.log` and
//! one file per service. [`logs::report`] prints the ends of all of them.

mod accel;
pub mod artifacts;
mod builder;
mod carrier;
mod command;
mod control;
mod debugger;
mod diagnosis;
mod error;
mod initramfs;
pub mod logs;
mod luo_emu;
mod machine;
mod qemu;

pub use accel::Accel;
pub use builder::{Builder, COMMAND_LINE, ElfMachine, LARGE_MEMORY_MIB};
pub use command::{Command, Outcome};
pub use debugger::Debugger;
pub use e2e_protocol as protocol;
pub use error::Error;
pub use initramfs::{Initramfs, InitramfsError};
pub use kernel_build::KernelSeries as Series;
pub use luo_emu::Emulation;
pub use machine::Machine;
