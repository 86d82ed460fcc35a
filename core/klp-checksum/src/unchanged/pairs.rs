//! Sections of two builds that belong together.
//!
//! Both builds have nearly the same sections in the same order, so one walk over both finds the pairs. A section that it
//! does not find has none: then nothing is known of what leads there. No section is in two pairs.

use alloc::vec;
use alloc::vec::Vec;

use elf_index::{Object, Section, SectionId, Symbol};
use object::elf;

use super::{Counts, leads_to_the_same};
use crate::content::{is_content_of_function, location_bytes};
use crate::program::Program;
use crate::transcript::At;
use crate::unnamed::is_unnamed_symbol;

/// How far a walk looks for the other one of a pair.
const WINDOW: usize = 64;

/// How often sections are looked at again after one of them was found to differ.
const ROUNDS: usize = 8;

/// What is known of each place of a pair of sections that a section symbol leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// Nothing.
    None,
    /// It is in the same symbol, and that has a name of its own; or both are code.
    Named,
    /// Everything in it is the same, and so is what that leads to.
    Identical,
}

/// A section with its pair.
#[derive(Clone, Copy, Debug)]
struct Pair {
    after: SectionId,
    /// Whether every symbol is where it was.
    is_laid_out: bool,
    grade: Grade,
}

/// The pairs, by the section before.
#[derive(Clone, Debug)]
pub(super) struct SectionPairs {
    by_before: Vec<Option<Pair>>,
}

impl SectionPairs {
    pub(super) fn new(before: &Program<'_, '_>, after: &Program<'_, '_>) -> Self {
        let (old, new) = (before.object(), after.object());
        let mut pairs = Self {
            by_before: vec![None; old.sections().len()],
        };
        let mut open = Vec::new();
        for (one, two) in walk(&candidates(old), &candidates(new)) {
            let is_laid_out = is_laid_out(old, one, new, two);
            let grade = match (old.section(one), new.section(two)) {
                (Some(old_section), Some(new_section)) if is_laid_out => {
                    let is_named =
                        is_named(old, one, old_section) && is_named(new, two, new_section);
                    if is_named {
                        Grade::Named
                    } else if is_equal(before, (one, old_section), after, (two, new_section)) {
                        open.push((one, two));
                        Grade::Identical
                    } else {
                        Grade::None
                    }
                }
                _ => Grade::None,
            };
            pairs.set(
                one,
                Pair {
                    after: two,
                    is_laid_out,
                    grade,
                },
            );
        }
        pairs.settle(old, new, open);
        pairs
    }

    /// Tells whether two sections are a pair with every symbol where it was.
    pub(super) fn is_laid_out(&self, before: SectionId, after: SectionId) -> bool {
        self.get(before)
            .is_some_and(|pair| pair.after == after && pair.is_laid_out)
    }

    pub(super) fn grade(&self, before: SectionId, after: SectionId) -> Grade {
        self.get(before)
            .filter(|pair| pair.after == after)
            .map_or(Grade::None, |pair| pair.grade)
    }

    /// Takes back what was said of sections that lead to something else. Whatever is left refers to nothing but what is
    /// the same, itself included.
    fn settle(
        &mut self,
        old: &Object<'_>,
        new: &Object<'_>,
        mut open: Vec<(SectionId, SectionId)>,
    ) {
        for _ in 0..ROUNDS {
            let (kept, lost): (Vec<_>, Vec<_>) = open.into_iter().partition(|(one, two)| {
                let (relocs, others) = (old.relocs(*one), new.relocs(*two));
                let mut both = relocs.iter().zip(others.iter());
                both.all(|(reloc, other)| {
                    leads_to_the_same((old, &reloc), (new, &other), Counts::FromItself, self)
                })
            });
            if lost.is_empty() {
                return;
            }
            self.take_back(&lost);
            open = kept;
        }
        self.take_back(&open);
    }

    fn take_back(&mut self, lost: &[(SectionId, SectionId)]) {
        for (one, _) in lost {
            if let Some(mut pair) = self.get(*one) {
                pair.grade = Grade::None;
                self.set(*one, pair);
            }
        }
    }

    fn get(&self, before: SectionId) -> Option<Pair> {
        let at = usize::try_from(before.0).ok()?;
        self.by_before.get(at).copied().flatten()
    }

    fn set(&mut self, before: SectionId, pair: Pair) {
        let at = usize::try_from(before.0).unwrap_or(usize::MAX);
        if let Some(slot) = self.by_before.get_mut(at) {
            *slot = Some(pair);
        }
    }
}

/// Sections that something can lead to.
fn candidates<'d>(object: &Object<'d>) -> Vec<(SectionId, &'d str)> {
    object
        .sections_with_ids()
        .filter(|(_, section)| section.is_alloc() && section.kind != elf::SHT_RELA)
        .map(|(id, section)| (id, section.name))
        .collect()
}

/// Pairs what has the same name at about the same place of both lists.
fn walk(old: &[(SectionId, &str)], new: &[(SectionId, &str)]) -> Vec<(SectionId, SectionId)> {
    let mut pairs = Vec::with_capacity(old.len());
    let (mut old, mut new) = (old, new);
    while let (Some(((one, name), old_rest)), Some(((two, other), new_rest))) =
        (old.split_first(), new.split_first())
    {
        if name == other {
            pairs.push((*one, *two));
            (old, new) = (old_rest, new_rest);
            continue;
        }
        let find = |rest: &[(SectionId, &str)], wanted: &str| {
            let mut near = rest.iter().take(WINDOW);
            near.position(|(_, name)| *name == wanted)
        };
        match (find(old_rest, other), find(new_rest, name)) {
            (Some(gone), Some(added)) if gone < added => {
                old = old_rest.get(gone..).unwrap_or_default();
            }
            (_, Some(added)) => new = new_rest.get(added..).unwrap_or_default(),
            (Some(gone), None) => old = old_rest.get(gone..).unwrap_or_default(),
            (None, None) => (old, new) = (old_rest, new_rest),
        }
    }
    pairs
}

/// Tells whether both have the same symbols at the same places.
fn is_laid_out(old: &Object<'_>, one: SectionId, new: &Object<'_>, two: SectionId) -> bool {
    let (ids, others) = (old.symbols_in(one), new.symbols_in(two));
    let key = |symbol: &Symbol<'_>| (symbol.value, symbol.size, symbol.kind);
    ids.len() == others.len()
        && ids
            .iter()
            .zip(others)
            .all(|(id, other)| match (old.symbol(*id), new.symbol(*other)) {
                (Some(symbol), Some(other)) => {
                    key(symbol) == key(other) && symbol.name == other.name
                }
                _ => false,
            })
}

/// Tells whether a section symbol leads to a name, whatever the distance: in code, and in a section that is one variable.
fn is_named(object: &Object<'_>, id: SectionId, section: &Section<'_>) -> bool {
    let is_content =
        |symbol: &Symbol<'_>| is_content_of_function(symbol.name) && !section.is_writable();
    let mut symbols = object.symbols_in(id).iter();
    if section.is_text() {
        return !symbols.any(|id| object.symbol(*id).is_some_and(is_content));
    }
    let is_whole = |symbol: &Symbol<'_>| {
        !is_unnamed_symbol(symbol)
            && !is_content(symbol)
            && symbol.value == 0
            && symbol.size == section.size
    };
    section.name != "__bug_table"
        && !section.name.starts_with(".data..Lubsan")
        && symbols.len() > 0
        && symbols.all(|id| object.symbol(*id).is_some_and(is_whole))
}

/// Tells whether two sections are the same but for where their relocations lead.
fn is_equal(
    before: &Program<'_, '_>,
    (one, old): (SectionId, &Section<'_>),
    after: &Program<'_, '_>,
    (two, new): (SectionId, &Section<'_>),
) -> bool {
    let header = |section: &Section<'_>| {
        let size = (section.size, section.entry_size);
        (section.kind, section.flags, size)
    };
    let (relocs, others) = (before.object().relocs(one), after.object().relocs(two));
    let mut both = relocs.iter().zip(others.iter());
    header(old) == header(new)
        && old.data == new.data
        && relocs.len() == others.len()
        && both.all(|(one, two)| (one.offset, one.kind) == (two.offset, two.kind))
        && pieces(before, one).eq(pieces(after, two))
}

/// Everything in a section that a function may have as its content, and whether that is a Rust `Location`.
fn pieces(program: &Program<'_, '_>, id: SectionId) -> impl Iterator<Item = (u64, u64, bool)> {
    let object = program.object();
    let symbols = object.symbols_in(id).iter();
    let symbols = symbols.filter_map(|id| {
        let symbol = object.symbol(*id)?;
        Some((symbol.value, symbol.end()))
    });
    program
        .unnamed()
        .pieces_in(id)
        .chain(symbols)
        .map(move |(start, end)| {
            let section = object.section(id);
            let bytes = section.and_then(|it| it.bytes(start, end.saturating_sub(start)));
            let at = At {
                section: id,
                offset: start,
            };
            let is_location = location_bytes(object, at, bytes.unwrap_or_default()).is_some();
            (start, end, is_location)
        })
}
