//! [`Program`]: an object with what its checksums need.

use alloc::vec::Vec;

use elf_index::{Object, Section, SectionId, Symbol, SymbolId};
use object::elf;

use crate::content;
use crate::objtool;
use crate::special::SpecialIndex;
use crate::stem::stem;
use crate::transcript::{At, Rule, Transcript};
use crate::unnamed::Unnamed;

/// An object whose checksums cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another architecture than the rule knows.
    #[error("checksums of machine {machine}: only x86-64 (62) is supported")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// A symbol reaches behind its section.
    #[error(
        "symbol {symbol}: bytes {start:#x}..{end:#x} are not in its section of {size:#x} bytes"
    )]
    Outside {
        /// Which symbol.
        symbol: SymbolId,
        /// First byte.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// Bytes of the section.
        size: u64,
    },
}

/// A function or an object that has a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The symbol.
    pub symbol: SymbolId,
    /// What the compiler split off it, to be counted with it.
    pub cold: Option<SymbolId>,
}

/// An object with what its checksums need.
#[derive(Debug)]
pub struct Program<'o, 'd> {
    object: &'o Object<'d>,
    special: SpecialIndex,
    unnamed: Unnamed,
    subjects: Vec<Subject>,
}

impl<'o, 'd> Program<'o, 'd> {
    /// Prepares an object.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`].
    pub fn new(object: &'o Object<'d>) -> Result<Self, Error> {
        let machine = object.header().machine;
        if machine != elf::EM_X86_64 {
            return Err(Error::Machine { machine: machine.0 });
        }
        Ok(Self {
            object,
            special: SpecialIndex::new(object),
            unnamed: Unnamed::new(object),
            subjects: subjects(object),
        })
    }

    /// The object.
    #[must_use]
    pub const fn object(&self) -> &'o Object<'d> {
        self.object
    }

    /// Entries of special sections.
    pub(crate) const fn special(&self) -> &SpecialIndex {
        &self.special
    }

    /// Data without names.
    pub(crate) const fn unnamed(&self) -> &Unnamed {
        &self.unnamed
    }

    /// The piece of unnamed data with a place: its first offset and one past its last.
    #[must_use]
    pub fn piece(&self, section: SectionId, offset: u64) -> Option<(u64, u64)> {
        self.unnamed.piece(At { section, offset })
    }

    /// What has a checksum, in the order of symbols.
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// Checks that everything with a checksum is in its section.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`].
    pub fn check_bounds(&self) -> Result<(), Error> {
        for subject in &self.subjects {
            self.body(subject.symbol)?;
            if let Some(cold) = subject.cold {
                self.body(cold)?;
            }
        }
        Ok(())
    }

    /// Writes what a checksum is taken over; what the transcript had is forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`].
    pub fn transcribe(
        &self,
        subject: Subject,
        rule: Rule,
        transcript: &mut Transcript,
    ) -> Result<(), Error> {
        transcript.clear();
        match rule {
            Rule::Objtool => objtool::transcribe(self, subject, transcript),
            Rule::Content => content::transcribe(self, subject, transcript),
        }
    }

    /// The bytes of a symbol and its section.
    pub(crate) fn body(
        &self,
        id: SymbolId,
    ) -> Result<Option<(&'o Symbol<'d>, SectionId, &'o Section<'d>)>, Error> {
        let Some(symbol) = self.object.symbol(id) else {
            return Ok(None);
        };
        let Some(section_id) = symbol.place.section() else {
            return Ok(None);
        };
        let Some(section) = self.object.section(section_id) else {
            return Ok(None);
        };
        let end = symbol.value.checked_add(symbol.size);
        if end.is_none_or(|end| end > section.size) {
            return Err(Error::Outside {
                symbol: id,
                start: symbol.value,
                end: symbol.end(),
                size: section.size,
            });
        }
        Ok(Some((symbol, section_id, section)))
    }
}

/// What has a checksum: functions and objects with bytes, the last of several at one place, cold parts with their
/// functions.
fn subjects(object: &Object<'_>) -> Vec<Subject> {
    let mut subjects = Vec::new();
    let mut cold: Vec<(SymbolId, SymbolId)> = Vec::new();
    let parents = ColdParents::new(object);
    for (id, symbol) in object.symbols_with_ids() {
        let is_kind = symbol.is_func() || symbol.is_object();
        if !is_kind || symbol.size == 0 || symbol.place.section().is_none() {
            continue;
        }
        if is_alias(object, id, symbol) {
            continue;
        }
        if let Some(parent) = parents.of(object, id, symbol) {
            cold.push((parent, id));
            continue;
        }
        subjects.push(Subject {
            symbol: id,
            cold: None,
        });
    }
    cold.sort_unstable();
    for subject in &mut subjects {
        let at = cold.partition_point(|(parent, _)| *parent < subject.symbol);
        subject.cold = cold
            .get(at)
            .filter(|(parent, _)| *parent == subject.symbol)
            .map(|(_, child)| *child);
    }
    subjects
}

/// Tells whether a later symbol has the same place, size and kind.
fn is_alias(object: &Object<'_>, id: SymbolId, symbol: &Symbol<'_>) -> bool {
    let Some(section) = symbol.place.section() else {
        return false;
    };
    let ids = object.symbols_in(section);
    let first = ids.partition_point(|other| {
        object
            .symbol(*other)
            .is_some_and(|other| other.value < symbol.value)
    });
    ids.iter()
        .skip(first)
        .map_while(|other| {
            let found = object.symbol(*other)?;
            (found.value == symbol.value).then_some((*other, found))
        })
        .any(|(other, found)| other > id && found.size == symbol.size && found.kind == symbol.kind)
}

/// Functions by name, for what was split off them.
#[derive(Debug, Default)]
struct ColdParents<'d> {
    /// Local functions by source file and name, then global ones with file `u32::MAX`.
    functions: Vec<(u32, &'d str, SymbolId)>,
    /// Source file of each symbol that is a cold part.
    files: Vec<(SymbolId, u32)>,
}

/// File number under which global functions are kept.
const GLOBAL: u32 = u32::MAX;

impl<'d> ColdParents<'d> {
    fn new(object: &Object<'d>) -> Self {
        let mut parents = Self::default();
        let mut file = 0;
        for (id, symbol) in object.symbols_with_ids() {
            if symbol.is_file() {
                file = id.0;
            } else if symbol.is_func() {
                let of = if symbol.is_local() { file } else { GLOBAL };
                // Most names have no dot, and that is seen faster.
                if symbol.name.as_bytes().contains(&b'.') && symbol.name.contains(".cold") {
                    parents.files.push((id, file));
                } else {
                    parents.functions.push((of, symbol.name, id));
                }
            }
        }
        parents.functions.sort_unstable();
        parents
    }

    fn of(&self, object: &Object<'_>, id: SymbolId, symbol: &Symbol<'_>) -> Option<SymbolId> {
        if !symbol.is_func() {
            return None;
        }
        let at = self
            .files
            .binary_search_by_key(&id, |(cold, _)| *cold)
            .ok()?;
        let name = symbol.name.get(..symbol.name.find(".cold")?)?;
        let (_, file) = *self.files.get(at)?;
        let found = self
            .named(file, name)
            .or_else(|| self.named(GLOBAL, name))?;
        // The one of several names of a function that counts.
        let parent = object.symbol(found)?;
        let aliases = object.symbols_in(parent.place.section()?);
        aliases
            .iter()
            .copied()
            .filter(|other| {
                object.symbol(*other).is_some_and(|other| {
                    other.value == parent.value
                        && other.size == parent.size
                        && other.kind == parent.kind
                })
            })
            .max()
    }

    fn named(&self, file: u32, name: &str) -> Option<SymbolId> {
        let at = self
            .functions
            .partition_point(|(of, found, _)| (*of, *found) < (file, name));
        self.functions
            .get(at)
            .filter(|(of, found, _)| *of == file && *found == name)
            .map(|(_, _, id)| *id)
    }
}

/// The name of a symbol as checksums know it.
pub(crate) fn known_name<'d>(symbol: &Symbol<'d>) -> &'d str {
    stem(symbol.name)
}
