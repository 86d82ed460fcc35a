//! [`Side`]: one of two builds, with its functions and objects by name.

use alloc::vec;
use alloc::vec::Vec;

use elf_index::{Object, SectionId, SymbolId, SymbolKind};
use klp_checksum::{Program, Subject, stem};
use xxhash_rust::xxh3::xxh3_64;

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
    /// Whether a compiler numbered its name: a static variable of a function.
    pub is_numbered: bool,
    /// Whether it was split off a function, and belongs to it.
    pub is_part: bool,
    /// XXH3-64 of the stem: what is sorted by it needs few comparisons of names.
    pub(crate) hash: u64,
}

/// One of two builds.
#[derive(Debug)]
pub struct Side<'o, 'd> {
    object: &'o Object<'d>,
    files: Vec<&'d str>,
    /// Source file of each symbol: the last file symbol before it.
    file_of: Vec<u32>,
    subjects: Vec<Subject>,
    /// Number of the subject whose checksum is that of a symbol; [`NO_SUBJECT`] of one without.
    subject_of: Vec<u32>,
    /// Checksum of each subject, as far as it is known.
    checksums: Vec<Option<u64>>,
    items: Vec<Item<'d>>,
    users: Users,
}

impl<'o, 'd> Side<'o, 'd> {
    /// Prepares a build by its names; checksums are [told](Self::tell) once it is known which are needed.
    #[must_use]
    pub fn new(program: &Program<'o, 'd>) -> Self {
        let object = program.object();
        let (files, file_of) = files(object);
        let subjects = program.subjects().to_vec();
        let mut side = Self {
            object,
            files,
            file_of,
            subject_of: subject_of(object, &subjects),
            checksums: vec![None; subjects.len()],
            subjects,
            items: Vec::new(),
            users: Users::default(),
        };
        side.items = side.collect_items();
        let numbered = side.items.iter().filter(|item| item.is_numbered);
        side.users = Users::new(program, numbered.map(|item| item.symbol));
        side
    }

    /// Tells checksums by [`Rule::Content`](klp_checksum::Rule::Content), each of the symbol of a subject.
    pub fn tell(&mut self, checksums: impl IntoIterator<Item = (SymbolId, u64)>) {
        for (symbol, checksum) in checksums {
            let slot = self
                .number_of_subject(symbol)
                .and_then(|at| self.checksums.get_mut(at));
            if let Some(slot) = slot {
                *slot = Some(checksum);
            }
        }
    }

    /// The subject whose checksum is that of a symbol: its own, or of another symbol at its place.
    #[must_use]
    pub fn subject(&self, symbol: SymbolId) -> Option<Subject> {
        self.subjects.get(self.number_of_subject(symbol)?).copied()
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

    /// The checksum of a symbol, or of another at its place, if it has one and was told.
    #[must_use]
    pub fn checksum(&self, symbol: SymbolId) -> Option<u64> {
        let at = self.number_of_subject(symbol)?;
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

    fn number_of_subject(&self, symbol: SymbolId) -> Option<usize> {
        let number = self.subject_of.get(usize::try_from(symbol.0).ok()?)?;
        (*number != NO_SUBJECT).then(|| usize::try_from(*number).ok())?
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
            let stem = stem(symbol.name);
            items.push(Item {
                stem,
                kind: symbol.kind,
                scope,
                symbol: id,
                size: symbol.size,
                is_numbered: symbol.is_local() && symbol.is_object() && is_numbered(symbol.name),
                is_part: symbol.is_func() && is_part(symbol.name),
                hash: xxh3_64(stem.as_bytes()),
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

/// A symbol that has no checksum.
const NO_SUBJECT: u32 = u32::MAX;

/// For each symbol the number of the subject at its place: several symbols of one place, size and kind have one checksum.
fn subject_of(object: &Object<'_>, subjects: &[Subject]) -> Vec<u32> {
    let mut numbers = vec![NO_SUBJECT; object.symbols().len()];
    for (number, subject) in (0_u32..NO_SUBJECT).zip(subjects) {
        let Some(symbol) = object.symbol(subject.symbol) else {
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
                if let Some(slot) = numbers.get_mut(at) {
                    *slot = number;
                }
            }
        }
    }
    numbers
}

/// Tells whether a compiler split the function off another one.
fn is_part(name: &str) -> bool {
    // Most names have no dot, and that is seen faster.
    name.as_bytes().contains(&b'.') && name.contains(".cold")
}
