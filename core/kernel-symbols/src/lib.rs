//! Symbols of the kernel and of its modules, by the rules of the kernel.
//!
//! A [`Table`] is the symbols of one or more *objects* (`vmlinux`, modules, and the pseudo modules of
//! `/proc/kallsyms` such as `[bpf]`) in the order in which the kernel has them, untouched, with
//! indexes beside it. Nothing is ever sorted in place: livepatch counts symbols of a name in that
//! order (*sympos*), and relocations of livepatch modules name symbols by their number.
//!
//! | From | By |
//! |---|---|
//! | text of `/proc/kallsyms` or `System.map` | [`kallsyms::parse`] |
//! | a `vmlinux` file | [`vmlinux::parse`] |
//! | a `.ko` file, at the addresses of `/sys/module/*/sections` or as the kernel would lay it out | [`Module`] |
//!
//! What is asked of a table: which symbol an address is in ([`Table::lookup`], [`Table::lookup_many`],
//! [`Table::lookup_sorted`]), which symbols have a name ([`Table::by_name`]), and what livepatch
//! finds ([`Table::sympos`]). [`klp`] has the names that livepatch modules are made of, and checks such a module
//! against the objects that it patches.
//!
//! Files are allegations: counts and offsets are checked, memory is bounded by the size of the input,
//! and an error says what was found and where.
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

mod address_index;
mod buckets;
mod builder;
mod duplicates;
mod elf;
pub mod kallsyms;
mod key_sort;
mod kind;
pub mod klp;
pub mod linear;
pub mod module;
mod name;
mod name_index;
mod object;
mod region;
mod symbol;
mod sympos;
mod table;
mod traced;
pub mod vmlinux;

pub use duplicates::Duplicates;
pub use kind::Kind;
pub use module::Module;
pub use name::{Name, is_mapping_symbol};
pub use object::{Object, ObjectKind, VMLINUX};
pub use region::{End, Region};
pub use symbol::{Found, Symbol};
pub use sympos::SymposError;
pub use table::{MemoryUse, Table};
pub use traced::Traced;
