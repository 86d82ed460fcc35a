//! Handovers, made and read.

pub mod engine;
pub mod large;
mod synthetic;
