//! An archive of what pstore brought over: every boot apart, whatever its files are called.
//!
//! Backends use file names again: each kernel's last log is `dmesg-ramoops-0`. Who copies by name keeps one boot. Here a
//! boot has a folder of its own, `NUMBER-BOOT_ID`, with the files as they were and `boot.json`, the [`Manifest`], which
//! says what each was called, when it was written, and what its bytes hash to.
//!
//! * [`Store`] is where records come from: `/sys/fs/pstore`.
//! * [`Archive::collect`] copies what is new. It may be run as often as one likes; a record is removed from the store
//!   only when its copy and the manifest that names it are on the disk.
//! * [`BootLog`] is a boot's records unpacked, joined and read: [`ShutdownLog`] says whether the kernel before left its
//!   last lines, and if not, why.
//!
//! In a crash a copy may lie in a boot's folder that no manifest names: the next run writes it anew.

mod archive;
mod collect;
mod durable;
mod error;
mod log;
mod manifest;
mod store;

pub use archive::{Archive, Entry};
pub use collect::{Afterwards, Collected, Extent, Outcome, Taken};
pub use error::Error;
pub use log::{Absence, BootLog, DumpLog, ReadRecord, ShutdownLog, TextLine};
pub use manifest::{Boot, Manifest, RecordEntry, Repeated};
pub use store::{Store, StoreState};

#[cfg(test)]
mod tests;
