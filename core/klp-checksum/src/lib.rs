//! Checksums of what functions and objects mean, independent of where they are.
//!
//! Two rules exist:
//!
//! * [`Rule::Objtool`] gives the values of `objtool klp checksum` (v7.3), bit for bit;
//! * [`Rule::Content`] also covers what those leave out: the contents of unnamed data that a function refers to (tables
//!   of switches, initialisers of local arrays, literals), every relocation of an instruction with its type, the places
//!   of special-section entries, and which of several equally named statics is meant.
//!
//! A checksum is taken over a [`Transcript`]: a sequence of steps, each a few bytes with a place and a reason. Two
//! transcripts compared step by step tell *why* two functions differ.
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

mod content;
mod insn;
mod objtool;
mod program;
mod special;
mod stem;
mod switch_table;
mod transcript;
mod unchanged;
mod unnamed;

pub use insn::{Branch, Flow, Insn, Insns, is_pc_relative, meant_addend};
pub use program::{Error, Program, Subject};
pub use stem::stem;
pub use transcript::{Reason, Rule, Step, Transcript};
pub use unchanged::Unchanged;
pub use unnamed::{PlacesMeant, is_unnamed_symbol};
