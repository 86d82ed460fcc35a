//! Starting a 64-bit x86 Linux with a handover that no Linux wrote.
//!
//! A kernel is handed over to by memory alone: its image and initrd, a `struct boot_params`, one
//! `setup_data` node that leads to the KHO FDT and to the scratch areas, and the handover itself.
//! [`Boot`] names all of it, [`Boot::prepare`] checks and places it, and [`Prepared`] gives it out
//! in one of two forms:
//!
//! * [`Prepared::kexec_segments`]: what `kexec_load(2)` takes. That call carries no handover of the
//!   kernel that makes it; the `setup_data` in these segments is ours.
//! * [`Prepared::elf`]: one ELF file that a virtual machine monitor starts by the PVH protocol.
//!
//! ```text
//! boot_params ── setup_data (type 10) ─┬─ KHO FDT ── tree, subtrees ─┐
//! (command line, initrd, e820, RSDP)   └─ scratch areas (copy)       │
//!  └─────── all of this lies in scratch ─────────┘  the handover: outside of scratch
//! ```
//!
//! Why inside scratch: it is the one memory that is free by contract. Linux itself accepts image,
//! initrd and `boot_params` anywhere that is not preserved.
//!
//! What is checked is what Linux does not check and then fails on without a word: see [`Error`].
//!
//! Sources: `Documentation/arch/x86/boot.rst`, `arch/x86/kernel/kexec-bzimage64.c`,
//! `arch/x86/kernel/setup.c` (`add_kho`), `arch/x86/boot/compressed/kaslr.c`
//! (`process_kho_entries`), `kernel/liveupdate/kexec_handover.c`; all v7.3 and v7.2.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod boot;
mod boot_params;
mod elf;
mod error;
mod extent;
mod handover;
mod kexec;
mod machine_code;
mod memory_map;
mod place;
mod preflight;
mod span;
#[cfg(test)]
mod tests;

pub use boot::{Boot, Prepared, Role, Segment};
pub use boot_params::rsdp;
pub use elf::{Elf, ElfError};
pub use error::{Error, HandoverError, KernelError, ScratchError};
pub use handover::{CollectError, Content, Handover};
pub use kexec::{KEXEC_SEGMENT_MAX, KexecError, KexecSegment};
pub use memory_map::{E820Entry, E820Kind, MapError, MemoryMap};
