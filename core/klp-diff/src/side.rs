//! [`Side`]: one of two builds, with its functions and objects by name.

use alloc::vec;
use alloc::vec::Vec;

use elf_index::{Object, SectionId, SymbolId, SymbolKind};
use klp_checksum::{Program, stem};

use crate::exempt::{is_exempt, is_numbered};
use crate::users::Users;

/// Where a name counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In the source file of this number, from 0 in the order of the object.
    File(u32),
    /// Everywhere.
    Global,
}

/// A function or an object that can have a twin.
#[derive(Clone, Copy, Debug)]
pub struct Item<'d> {
    /// Name without what compilers number.
    pub stem: &'d str,
    /// Function or object.
    pub kind: SymbolKind,
    /// Where its name counts.
    pub scope: Scope,
    /// The symbol.
    pub symbol: SymbolId,
    /// Bytes.
    pub size: u64,
    /// Checksum by [`Rule::Content`](klp_checksum::Rule::Content).
    pub checksum: Option<u64>,
    /// Whether a compiler numbered its name: a static variable of a function.
    pub is_numbered: bool,
}

/// One of two builds.
#[derive(Debug)]
pub struct Side<'o, 'd> {
    object: &'o Object<'d>,
    files: Vec<&'d str>,
    /// Source file of each symbol: the last file symbol before it.
    file_of: Vec<u32>,
    checksums: Vec<Option<u64>>,
    items: Vec<Item<'d>>,
    users: Users,
}

impl<'o, 'd> Side<'o, 'd> {
    /// Prepares a build from its checksums, one for each subject of the program.
    #[must_use]
    pub fn new(
        program: &Program<'o, 'd>,
        checksums: impl IntoIterator<Item = (SymbolId, u64)>,
    ) -> Self {
        let object = program.object();
        let (files, file_of) = files(object);
        let mut side = Self {
            object,
            files,
            file_of,
            checksums: spread(object, checksums),
            items: Vec::new(),
            users: Users::default(),
        };
        side.items = side.collect_items();
        let numbered = side.items.iter().filter(|item| item.is_numbered);
        side.users = Users::new(program, numbered.map(|item| item.symbol));
        side
    }

    /// The object.
    #[must_use]
    pub const fn object(&self) -> &'o Object<'d> {
        self.object
    }

    /// Names of the source files.
    #[must_use]
    pub fn files(&self) -> &[&'d str] {
        &self.files
    }

    /// The source file of a symbol; empty when the object does not say.
    #[must_use]
    pub fn file_of(&self, symbol: SymbolId) -> &'d str {
        let known = self
            .object
            .symbol(symbol)
            .filter(|symbol| symbol.is_local());
        let number = known.and_then(|_| self.number_of_file(symbol));
        let number = number.and_then(|number| usize::try_from(number).ok());
        number
            .and_then(|number| self.files.get(number).copied())
            .unwrap_or_default()
    }

    /// The checksum of a symbol, or of another at its place.
    #[must_use]
    pub fn checksum(&self, symbol: SymbolId) -> Option<u64> {
        let at = usize::try_from(symbol.0).ok()?;
        self.checksums.get(at).copied().flatten()
    }

    /// Everything that can have a twin.
    #[must_use]
    pub fn items(&self) -> &[Item<'d>] {
        &self.items
    }

    /// Functions and objects that refer to a static variable.
    #[must_use]
    pub fn users_of(&self, symbol: SymbolId) -> &[SymbolId] {
        self.users.of(symbol)
    }

    fn number_of_file(&self, symbol: SymbolId) -> Option<u32> {
        let at = usize::try_from(symbol.0).ok()?;
        self.file_of.get(at).copied()
    }

    fn collect_items(&self) -> Vec<Item<'d>> {
        let mut items = Vec::new();
        for (id, symbol) in self.object.symbols_with_ids() {
            if !(symbol.is_func() || symbol.is_object()) {
                continue;
            }
            let Some(section) = self.object.section_of(symbol) else {
                continue;
            };
            if is_exempt(symbol, section) {
                continue;
            }
            let scope = if symbol.is_local() {
                Scope::File(self.number_of_file(id).unwrap_or(0))
            } else {
                Scope::Global
            };
            items.push(Item {
                stem: stem(symbol.name),
                kind: symbol.kind,
                scope,
                symbol: id,
                size: symbol.size,
                checksum: self.checksum(id),
                is_numbered: symbol.is_local() && symbol.is_object() && is_numbered(symbol.name),
            });
        }
        items
    }
}

/// Names of source files, and for each symbol the number of its own.
fn files<'d>(object: &Object<'d>) -> (Vec<&'d str>, Vec<u32>) {
    let mut names = Vec::new();
    let mut file_of = Vec::with_capacity(object.symbols().len());
    let mut number = 0_u32;
    for symbol in object.symbols() {
        if symbol.is_file() {
            number = u32::try_from(names.len()).unwrap_or(u32::MAX);
            names.push(symbol.name);
        }
        file_of.push(number);
    }
    (names, file_of)
}

/// Gives the checksum of a subject to every symbol at its place.
fn spread(
    object: &Object<'_>,
    checksums: impl IntoIterator<Item = (SymbolId, u64)>,
) -> Vec<Option<u64>> {
    let mut by_symbol = vec![None; object.symbols().len()];
    for (id, checksum) in checksums {
        let Some(symbol) = object.symbol(id) else {
            continue;
        };
        let section = symbol.place.section().unwrap_or(SectionId(0));
        let ids = object.symbols_in(section);
        let first = ids.partition_point(|other| {
            object
                .symbol(*other)
                .is_some_and(|other| other.value < symbol.value)
        });
        for other in ids.iter().skip(first) {
            let Some(found) = object.symbol(*other) else {
                break;
            };
            if found.value != symbol.value {
                break;
            }
            if found.size == symbol.size && found.kind == symbol.kind {
                let at = usize::try_from(other.0).unwrap_or(usize::MAX);
                if let Some(slot) = by_symbol.get_mut(at) {
                    *slot = Some(checksum);
                }
            }
        }
    }
    by_symbol
}
