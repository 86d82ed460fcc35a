//! A clock that runs through a kexec: the processor's time stamp counter.
//!
//! Every clock of the kernel starts anew with it, `CLOCK_REALTIME` is set from a hardware clock
//! with a resolution of one second. The counter of the processor is reset by neither, so it is
//! what a blackout is measured with. It counts at a rate nobody tells: see [`TscRate`].
//!
//! Only x86-64 has an implementation; elsewhere [`tsc`] is `None` and callers fall back to
//! `CLOCK_REALTIME`.

mod counter;
mod rate;

pub use counter::tsc;
pub use rate::{TscRate, TscStamp};
