//! ELF objects, indexed for comparing and linking them.
//!
//! [`Object::parse`] reads the tables of a 64-bit file once and checks every number in them; afterwards
//!
//! * [`Object::section`] and [`Object::symbol`] are lookups by index,
//! * [`Object::symbols_in`] and [`Object::symbol_containing`] find symbols by place,
//! * [`Object::relocs`] gives the relocations of a section by ascending offset.
//!
//! The kernel's `vmlinux.o` with a section for each function has more than 65,280 sections, so extended numbering
//! (`e_shnum` 0, `SHN_XINDEX`, `.symtab_shndx`) is the usual case. A file is an allegation: nothing in it makes
//! this crate panic or allocate more than in proportion to the file.
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

mod error;
mod object;
mod places;
mod read;
mod relocs;
mod section;
mod symbol;
mod tables;

pub use error::{Error, Table};
pub use object::{Header, Object};
pub use places::Places;
pub use relocs::{Reloc, Relocs};
pub use section::{Section, SectionId};
pub use symbol::{Binding, Symbol, SymbolId, SymbolKind, SymbolPlace};
