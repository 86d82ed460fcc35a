//! Two builds of one object, compared.
//!
//! * [`correlate()`] finds for each function and object of the one its *twin* in the other: the symbol that means the
//!   same thing, though compilers number and order things anew in each build;
//! * [`compare`] tells what changed and what is new, and lists every change that a livepatch cannot make;
//! * [`Plan`] follows every reference of what changed: what a module takes along, and what it needs of the kernel.
//!
//! A wrong twin is worse than none: a function that works on another function's variable is a fault that no test
//! finds. Static variables of functions are therefore matched by the functions that use them, and never by position
//! where that could mean another one.
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

mod callbacks;
mod compare;
mod correlate;
mod exempt;
mod exports;
mod guard;
mod linked;
mod lto;
mod obstacle;
mod plan;
mod side;
mod special;
mod target;
mod users;

pub use callbacks::CallbackKind;
pub use compare::{Difference, Refusal, compare};
pub use correlate::{ByName, Correlation, FilesDiffer, correlate};
pub use exempt::is_exempt;
pub use exports::{Exports, WrongLine};
pub use linked::{Ambiguous, Constant, LinkedPositions, OtherSize};
pub use obstacle::Obstacle;
pub use plan::{Inputs, Plan, Reach};
pub use side::{Item, Scope, Side};
pub use target::{Piece, Target, target};
