//! Positions of livepatch.
//!
//! A livepatch module names a symbol of another object by name and *sympos*: 0 when the name must be the only one, else
//! the position among the symbols of that name, from 1. The kernel counts every defined symbol, functions and data
//! (`klp_find_object_symbol`, `kernel/livepatch/core.c`, v7.3): of a module in the order of its symbol table, of
//! vmlinux by ascending address.

use alloc::string::String;

use crate::object::{ObjectKind, VMLINUX};
use crate::symbol::Symbol;
use crate::table::Table;

/// Why livepatch does not find a symbol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SymposError {
    /// No such object in the table.
    #[error("find the object {object}: it is not in the table")]
    NoObject {
        /// Its name.
        object: String,
    },
    /// No such name in the object.
    #[error("find {name} in {object}: there is no such symbol")]
    NotFound {
        /// Name of the symbol.
        name: String,
        /// Name of the object.
        object: String,
    },
    /// Position 0, and more than one symbol of the name.
    #[error(
        "find {name} in {object}: there are {count} of them and position 0 is for one only; name one, from 1"
    )]
    Ambiguous {
        /// Name of the symbol.
        name: String,
        /// Name of the object.
        object: String,
        /// Symbols of the name.
        count: u64,
    },
    /// Fewer symbols of the name.
    #[error("find {name} in {object} at position {position}: there are {count} of them")]
    OutOfRange {
        /// Name of the symbol.
        name: String,
        /// Name of the object.
        object: String,
        /// The position asked for.
        position: u64,
        /// Symbols of the name.
        count: u64,
    },
    /// It is there, but the kernel takes the address 0 for "not found".
    #[error("find {name} in {object}: its address is 0, which livepatch takes for no symbol")]
    AddressZero {
        /// Name of the symbol.
        name: String,
        /// Name of the object.
        object: String,
    },
}

impl<'d> Table<'d> {
    /// The symbols that livepatch counts for a name, in its order: the first has position 1.
    pub fn positions<'t>(
        &'t self,
        name: &str,
        object: &'t str,
    ) -> impl Iterator<Item = Symbol<'t>> + use<'t, 'd> {
        self.by_name(name).filter(move |symbol| {
            let it = symbol.object();
            it.kind != ObjectKind::Pseudo && it.name == object && symbol.kind().is_counted()
        })
    }

    /// The symbol that livepatch finds for a name and position in an object, `vmlinux` or a module.
    ///
    /// # Errors
    /// [`SymposError`], where the kernel refuses with `EINVAL`.
    pub fn sympos(
        &self,
        name: &str,
        object: &str,
        position: u64,
    ) -> Result<Symbol<'_>, SymposError> {
        if !self.has_object(object) {
            return Err(SymposError::NoObject {
                object: object.into(),
            });
        }
        let mut found = None;
        let mut count = 0_u64;
        // Borrowed twice as long as the answer: the name of the object is not in it.
        for symbol in self.by_name(name) {
            let it = symbol.object();
            if it.kind == ObjectKind::Pseudo || it.name != object || !symbol.kind().is_counted() {
                continue;
            }
            count = count.saturating_add(1);
            if count == position.max(1) {
                found = Some(symbol);
            }
        }
        let (name, object) = (name.into(), object.into());
        match (found, count) {
            (_, 0) => Err(SymposError::NotFound { name, object }),
            (_, 2..) if position == 0 => Err(SymposError::Ambiguous {
                name,
                object,
                count,
            }),
            (Some(symbol), _) if symbol.address() == 0 => {
                Err(SymposError::AddressZero { name, object })
            }
            (Some(symbol), _) => Ok(symbol),
            (None, _) => Err(SymposError::OutOfRange {
                name,
                object,
                position,
                count,
            }),
        }
    }

    /// Whether the kernel or a module of this name is in the table.
    #[must_use]
    pub fn has_object(&self, object: &str) -> bool {
        self.objects().any(|it| match it.kind {
            ObjectKind::Vmlinux => object == VMLINUX,
            ObjectKind::Module => it.name == object,
            ObjectKind::Pseudo => false,
        })
    }
}
