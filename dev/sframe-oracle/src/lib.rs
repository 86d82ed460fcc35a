//! Programs recorded instruction by instruction, with the true calls at each: the oracle of unwinding.
//!
//! A program runs under an emulator's or `gdbserver`'s remote protocol, one instruction at a time. After each,
//! its registers and what changed on its stack are recorded. Calls and returns are told from the instructions
//! themselves, and kept as a shadow stack: what unwinding must find, without any unwind data. Each instruction
//! is then a place where an interrupt could have come.
//!
//! The program `record-run` makes a [`Recording`]; tests read it.

mod elf;
mod interrupted;
mod machine;
mod record;
mod recording;
mod remote;
mod replay;
mod shadow;

pub use interrupted::{Handler, Interrupted, ReadsCalls};
pub use machine::{Called, Machine};
pub use record::record;
pub use recording::{Moment, Recording, Registers, Word};
pub use replay::Memory;
pub use shadow::{Call, Caller};
