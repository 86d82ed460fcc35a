//! Names that several symbols of an object have, and what would become of their positions.
//!
//! Livepatch modules have positions in them (see [`Table::sympos`]). A kernel that sorted the symbol
//! tables of modules by address, which was proposed to make address lookups fast, would resolve some
//! of them to other symbols. [`Duplicates::order_changes`] tells which.

use alloc::vec::Vec;

use crate::name::Name;
use crate::object::ObjectKind;
use crate::symbol::Symbol;
use crate::table::Table;

/// The symbols of one name in one object, in the order in which livepatch counts them.
#[derive(Clone, Debug)]
pub struct Duplicates<'t> {
    symbols: Vec<Symbol<'t>>,
}

impl<'t> Duplicates<'t> {
    /// Their name.
    #[must_use]
    pub fn name(&self) -> Name<'t> {
        self.symbols
            .first()
            .map_or(Name::new(&[]), |symbol| symbol.name())
    }

    /// The symbols; the first has position 1.
    #[must_use]
    pub fn symbols(&self) -> &[Symbol<'t>] {
        &self.symbols
    }

    /// The same by address; those of one address stay as they are.
    #[must_use]
    pub fn sorted(&self) -> Vec<Symbol<'t>> {
        let mut sorted = self.symbols.clone();
        sorted.sort_by_key(|symbol| symbol.address());
        sorted
    }

    /// Whether some position would mean another symbol if the table was sorted by address.
    #[must_use]
    pub fn order_changes(&self) -> bool {
        !self.symbols.is_sorted_by_key(|symbol| symbol.address())
    }

    /// Whether there are both symbols in code and symbols elsewhere. A table with functions in front would change the order of
    /// these as well.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        let in_code = self.symbols.iter().filter(|symbol| symbol.kind().is_text());
        !matches!(in_code.count(), 0) && self.symbols.iter().any(|symbol| !symbol.kind().is_text())
    }
}

impl Table<'_> {
    /// Names of the objects that livepatch sees which more than one symbol has, object by object, in the order of names.
    #[must_use]
    pub fn duplicates(&self) -> Vec<Duplicates<'_>> {
        let is_seen = |symbol: &Symbol<'_>| {
            symbol.kind().is_counted()
                && !symbol.name().as_bytes().is_empty()
                && symbol.object().kind != ObjectKind::Pseudo
        };
        let mut symbols: Vec<Symbol<'_>> = self.symbols().filter(is_seen).collect();
        // Stable: symbols of one name stay in their order.
        symbols.sort_by(|one, other| key(*one).cmp(&key(*other)));
        let groups = symbols.chunk_by(|one, other| key(*one) == key(*other));
        groups
            .filter(|group| group.len() > 1)
            .map(|group| Duplicates {
                symbols: group.to_vec(),
            })
            .collect()
    }
}

/// What symbols of one group have in common.
fn key(symbol: Symbol<'_>) -> (Name<'_>, Name<'_>) {
    (symbol.object().name, symbol.name())
}
