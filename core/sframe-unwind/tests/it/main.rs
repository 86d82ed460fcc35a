//! Sections made by assemblers and linkers, beside what objdump says of them.

mod dump;
mod fixtures;
mod kernel_walk;
mod lookup;
mod step;
mod verify;
mod write;
