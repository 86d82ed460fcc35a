//! The live update of a host as pure logic, without I/O.
//!
//! Vocabulary:
//!
//! * A *service* is a program that keeps memory across an update. Its *items* are the descriptors
//!   it gave into keeping, each under a name and, while preserved, under a token of a session.
//! * A [`Phase`] says how far an update is; an [`Event`] moves it on. What the kernel's LUO v4
//!   series had as a machine-wide state is here the host's.
//! * A [`Barrier`] waits for every participating service to be ready, or one veto.
//! * The [`Journal`] is everything that must be known on the other side of the jump; it is written
//!   into a memfd with a fixed [header](journal::encode) and preserved like any other item.
//! * A [`Mark`] is a moment of an update; the [`Report`] is what the marks and the journal tell.
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

mod barrier;
mod boot;
pub mod journal;
mod manifest;
mod phase;
mod report;
mod service_name;
mod timeline;

pub use barrier::{Barrier, BarrierOutcome};
pub use boot::{Boot, PreviousLog, chain};
pub use journal::{Journal, JournalError, ProgramRecord, ProgramState, UpdateRecord};
pub use manifest::{ItemRecord, ItemState, ServiceRecord, SessionRecord, SessionState};
pub use phase::{Event, IllegalEvent, Phase};
pub use report::{ClientReport, LostItem, PhaseTime, Report};
pub use service_name::{ServiceName, ServiceNameError};
pub use timeline::{Mark, MarkKind, Moment, Timeline};
