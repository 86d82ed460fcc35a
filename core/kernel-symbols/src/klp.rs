//! Livepatch modules: the names that symbols and sections of theirs have, and whether all of it resolves.
//!
//! A livepatch module has symbols that are defined in other objects and not exported. Such a symbol has the section
//! number [`SHN_LIVEPATCH`] and a name that says where it is, `.klp.sym.OBJECT.NAME,POSITION`; relocations against
//! it are in sections of their own, `.klp.rela.OBJECT.SECTION` with the flag [`SHF_RELA_LIVEPATCH`], which are applied
//! when OBJECT is there (`Documentation/livepatch/module-elf-format.rst`, `kernel/livepatch/core.c`, v7.3).

mod check;
mod finding;
mod functions;
mod names;
mod patched;
mod relocations;

pub use check::{Target, check};
pub use finding::{Finding, Severity};
pub use names::{
    KlpNameError, KlpSymbol, OBJECT_NAME_MAXIMUM, SYMBOL_NAME_MAXIMUM, parse_rela_section_name,
    parse_sym_name,
};
pub use patched::{PatchedFunction, PatchedObject, RecordError, parse_patched};
pub(crate) use relocations::read as read_relocations;
pub use relocations::{
    RelaSection, Relocation, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH, parse_rela_sections,
};
