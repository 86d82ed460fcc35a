//! Tests of the whole engine: a machine, its world, and programs that call.

mod commands;
mod damage;
mod defects;
mod examined;
mod handover;
mod machine;
mod memfd;
mod model;
mod order;
mod process;
mod recorded;
mod recorder;
mod v4;
mod world;
