//! Handovers that no Linux wrote: composed from a plan, kept in a folder, taken from there to be
//! booted.
//!
//! * A [`Plan`] says what is to be handed over: sessions with their files, what the handover claims
//!   about the kernel before, and the machine it is for. It is written in TOML; see [`Plan`].
//! * [`compose`] makes the handover. It is a machine of its own: the plan's sessions are created and
//!   its files preserved by the very calls a program makes, on the engine of crate `luo`, which then
//!   leaves for the next kernel as at `reboot(KEXEC)`. What is written is what the engine writes.
//! * A [`Composition`] is the outcome, [`Composition::save`] keeps it in a folder of pages, and
//!   [`Saved`] is what is read back from there. Crate `handoff` boots it.
//!
//! A plan is trusted as far as a command line is: it names files that its user may read. A saved
//! folder is not trusted.

mod caller;
mod compose;
mod content;
mod error;
mod flb;
mod folder;
mod machine;
mod plan;
mod plan_error;
mod region;
#[cfg(test)]
mod tests;
mod value;

pub use compose::{Composition, compose};
pub use error::{ComposeError, FolderError};
pub use folder::Saved;
pub use machine::{MachineError, MachinePlan, RangePlan};
pub use plan::{Claims, FilePlan, FlbPlan, Plan, RegionPlan, SessionPlan};
pub use plan_error::{PlanError, PlanProblem};
pub use value::{MemoryKind, Number, Release, Seal, Session};
