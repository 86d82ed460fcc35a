//! Sections made by assemblers and linkers, beside what objdump says of them.

mod dump;
mod fixtures;
mod lookup;
mod verify;
mod write;
