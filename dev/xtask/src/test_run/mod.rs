//! `cargo xtask test`: every check and every test, in order, with one line of result each.
//!
//! [`steps`] is the list; [`runner`] runs it; [`counts`] reads what test programs print; [`context`] is what a step
//! gets. Adding a step is one function and one line in the list.

mod context;
mod counts;
mod runner;
mod steps;

pub(crate) use runner::{Extent, run};
