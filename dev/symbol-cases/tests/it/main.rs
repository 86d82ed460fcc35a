//! What the indexes answer is what the kernel's own way answers, for every function of a thousand real modules.
#![expect(clippy::unwrap_used, reason = "tests")]

mod klp;
mod layout;
mod modules;
mod vmlinux;
