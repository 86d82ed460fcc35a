//! [`Unchanged`]: what certainly means the same in two builds, without decoding an instruction.
//!
//! In two builds that differ by a patch nearly everything is as it was, byte for byte, and refers to the same things. For
//! such a pair [`Rule::Content`](crate::Rule::Content) writes the same transcript twice; this tells so in advance:
//!
//! * the same bytes are the same instructions, and each relocation lies in the same one;
//! * a branch without a relocation leads to the same place of the same symbol when all symbols of the section are where
//!   they were;
//! * a relocation means the same when it leads to the same name, the same string, the same constant, or the same place of
//!   a section of which that can be said ([`pairs`]).
//!
//! "No" means "not known": the caller then compares the checksums. "Yes" is never said of two transcripts that differ.

mod pairs;

use core::ops::Range;

use elf_index::{Object, Reloc, Section, SectionId, SymbolId};

use crate::content::{is_content_of_function, location_bytes};
use crate::insn::is_pc_relative;
use crate::program::{Program, Subject};
use crate::special::Alternative;
use crate::transcript::At;
use crate::unnamed::is_unnamed_symbol;
use pairs::{Grade, SectionPairs};

/// Most bytes between the place of a relocation and the end of its instruction (Intel SDM, volume 2, 2.3.11).
const LONGEST: u64 = 15;

/// Two builds, and what of them is known to be the same.
#[derive(Debug)]
pub struct Unchanged<'p, 'o, 'd> {
    before: &'p Program<'o, 'd>,
    after: &'p Program<'o, 'd>,
    pairs: SectionPairs,
}

/// Bytes of both builds, with what relocations in them count from.
#[derive(Clone, Debug)]
struct Both {
    before: (SectionId, Range<u64>),
    after: (SectionId, Range<u64>),
}

impl<'p, 'o, 'd> Unchanged<'p, 'o, 'd> {
    /// Pairs the sections of two builds.
    #[must_use]
    pub fn new(before: &'p Program<'o, 'd>, after: &'p Program<'o, 'd>) -> Self {
        Self {
            before,
            after,
            pairs: SectionPairs::new(before, after),
        }
    }

    /// Tells whether both have the same transcript; `false` when that is not known.
    #[must_use]
    pub fn has(&self, before: Subject, after: Subject) -> bool {
        let parts = |subject: Subject| [Some(subject.symbol), subject.cold];
        parts(before)
            .into_iter()
            .zip(parts(after))
            .all(|pair| match pair {
                (Some(one), Some(two)) => self.body(one, two).unwrap_or(false),
                (None, None) => true,
                _ => false,
            })
    }

    fn body(&self, one: SymbolId, two: SymbolId) -> Option<bool> {
        let (old, old_section, old_header) = self.before.body(one).ok()??;
        let (new, new_section, new_header) = self.after.body(two).ok()??;
        if old.is_func() != new.is_func() || old.size != new.size {
            return Some(false);
        }
        let (old_bytes, new_bytes) = (
            old_header.bytes(old.value, old.size).unwrap_or_default(),
            new_header.bytes(new.value, new.size).unwrap_or_default(),
        );
        if old_bytes != new_bytes {
            return Some(false);
        }
        let both = Both {
            before: (old_section, old.value..old.end()),
            after: (new_section, new.value..new.end()),
        };
        if !old.is_func() {
            let is_location = |object: &Object<'_>, (section, range): &(SectionId, Range<u64>)| {
                let at = At {
                    section: *section,
                    offset: range.start,
                };
                location_bytes(object, at, old_bytes).is_some()
            };
            let is_same_kind = is_location(self.before.object(), &both.before)
                == is_location(self.after.object(), &both.after);
            return Some(is_same_kind && self.relocs(&both, Counts::FromItself));
        }
        let is_in_place =
            old.value == new.value && self.pairs.is_laid_out(old_section, new_section);
        Some(is_in_place && self.relocs(&both, Counts::FromInstruction) && self.special(&both))
    }

    /// Relocations of both, one by one.
    fn relocs(&self, both: &Both, counts: Counts) -> bool {
        let (one, two) = (&both.before, &both.after);
        let old = self.before.object().relocs(one.0).within(one.1.clone());
        let new = self.after.object().relocs(two.0).within(two.1.clone());
        old.len() == new.len()
            && old.iter().zip(new.iter()).all(|(old, new)| {
                old.offset.wrapping_sub(one.1.start) == new.offset.wrapping_sub(two.1.start)
                    && self.target(&old, &new, counts)
            })
    }

    fn target(&self, old: &Reloc, new: &Reloc, counts: Counts) -> bool {
        leads_to_the_same(
            (self.before.object(), old),
            (self.after.object(), new),
            counts,
            &self.pairs,
        )
    }

    /// Entries of special sections about both, one by one.
    fn special(&self, both: &Both) -> bool {
        let (one, two) = (&both.before, &both.after);
        let old = self.before.special().within(one.0, one.1.clone());
        let new = self.after.special().within(two.0, two.1.clone());
        old.len() == new.len()
            && old.iter().zip(new).all(|((old_at, old), (new_at, new))| {
                old_at.offset == new_at.offset && self.alternative(*old, *new)
            })
    }

    fn alternative(&self, old: Alternative, new: Alternative) -> bool {
        match (old, new) {
            (
                Alternative::Replacement {
                    feature,
                    replaced,
                    section,
                    offset,
                    len,
                },
                Alternative::Replacement {
                    feature: new_feature,
                    replaced: new_replaced,
                    section: new_section,
                    offset: new_offset,
                    len: new_len,
                },
            ) => {
                let both = Both {
                    before: (section, offset..offset.saturating_add(len)),
                    after: (new_section, new_offset..new_offset.saturating_add(new_len)),
                };
                (feature, replaced, len) == (new_feature, new_replaced, new_len)
                    && self.replacement(&both)
            }
            (
                Alternative::JumpLabel {
                    section,
                    offset,
                    entry,
                },
                Alternative::JumpLabel {
                    section: new_section,
                    offset: new_offset,
                    entry: new_entry,
                },
            ) => {
                offset == new_offset
                    && self.pairs.is_laid_out(section, new_section)
                    && self.entry(entry, new_entry, 8..16)
            }
            (
                Alternative::Fixup {
                    section,
                    offset,
                    entry,
                },
                Alternative::Fixup {
                    section: new_section,
                    offset: new_offset,
                    entry: new_entry,
                },
            ) => {
                offset == new_offset
                    && self.pairs.is_laid_out(section, new_section)
                    && self.entry(entry, new_entry, 8..12)
            }
            _ => false,
        }
    }

    /// Code that has no symbols around, wherever it is in its section.
    fn replacement(&self, both: &Both) -> bool {
        let (one, two) = (&both.before, &both.after);
        let (old, new) = (self.before.object(), self.after.object());
        let is_bare = old.symbols_in(one.0).is_empty() && new.symbols_in(two.0).is_empty();
        is_bare
            && bytes_of(old, one) == bytes_of(new, two)
            && self.relocs(both, Counts::FromInstruction)
    }

    /// Some bytes of an entry of a special section.
    fn entry(&self, old: At, new: At, bytes: Range<u64>) -> bool {
        let part = |at: At| {
            let start = at.offset.saturating_add(bytes.start);
            (at.section, start..at.offset.saturating_add(bytes.end))
        };
        let both = Both {
            before: part(old),
            after: part(new),
        };
        bytes_of(self.before.object(), &both.before) == bytes_of(self.after.object(), &both.after)
            && self.relocs(&both, Counts::FromItself)
    }
}

fn bytes_of<'d>(object: &Object<'d>, (section, range): &(SectionId, Range<u64>)) -> &'d [u8] {
    let len = range.end.saturating_sub(range.start);
    let section = object.section(*section);
    section
        .and_then(|section| section.bytes(range.start, len))
        .unwrap_or_default()
}

/// What the addend of a relocation counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// Its own place.
    FromItself,
    /// The end of its instruction, which is not known, when it is relative.
    FromInstruction,
}

/// Tells whether two relocations in equal bytes mean the same.
fn leads_to_the_same(
    (old_object, old): (&Object<'_>, &Reloc),
    (new_object, new): (&Object<'_>, &Reloc),
    counts: Counts,
    pairs: &SectionPairs,
) -> bool {
    if old.kind != new.kind {
        return false;
    }
    let (Some(one), Some(two)) = (old_object.symbol(old.symbol), new_object.symbol(new.symbol))
    else {
        return false;
    };
    let places = (one.place.section(), two.place.section());
    let (Some(old_id), Some(new_id)) = places else {
        return places == (None, None) && one.name == two.name && old.addend == new.addend;
    };
    let headers = (old_object.section(old_id), new_object.section(new_id));
    let (Some(old_section), Some(new_section)) = headers else {
        return false;
    };
    let behind = if counts == Counts::FromInstruction && is_pc_relative(old.kind) {
        1..LONGEST.saturating_add(1)
    } else {
        0..1
    };
    let old_place = one.value.wrapping_add_signed(old.addend);
    let new_place = two.value.wrapping_add_signed(new.addend);
    if old_section.is_strings() || new_section.is_strings() {
        return old_section.is_strings()
            && new_section.is_strings()
            && same_string((old_section, old_place), (new_section, new_place), behind);
    }
    let is_unnamed = is_unnamed_symbol(one);
    if is_unnamed != is_unnamed_symbol(two) {
        return false;
    }
    if is_unnamed && (has_entries(old_section) || has_entries(new_section)) {
        return old_section.entry_size == new_section.entry_size
            && has_entries(old_section) == has_entries(new_section)
            && same_constant((old_section, old_place), (new_section, new_place), behind);
    }
    if old.addend != new.addend {
        return false;
    }
    let is_same_place = || one.value == two.value && pairs.is_laid_out(old_id, new_id);
    if is_unnamed {
        return one.value == two.value && pairs.grade(old_id, new_id) != Grade::None;
    }
    if one.name != two.name {
        return false;
    }
    if is_content_of_function(one.name) {
        return one.size == two.size
            && is_same_place()
            && pairs.grade(old_id, new_id) == Grade::Identical;
    }
    // Of equally named things with numbers each counts on its own.
    crate::stem(one.name).len() == one.name.len() || is_same_place()
}

fn has_entries(section: &Section<'_>) -> bool {
    section.is_mergeable() && section.entry_size > 0
}

/// Compares strings at every distance of a range: of a string that is the same, every end is.
fn same_string(
    (old_section, old_place): (&Section<'_>, u64),
    (new_section, new_place): (&Section<'_>, u64),
    behind: Range<u64>,
) -> bool {
    let mut distance = behind.start;
    while distance < behind.end {
        let old = old_section.string(old_place.wrapping_add(distance));
        let new = new_section.string(new_place.wrapping_add(distance));
        if old != new {
            return false;
        }
        let len = old.map_or(0, <[u8]>::len);
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        distance = distance.saturating_add(len).saturating_add(1);
    }
    true
}

/// Compares the entries at every distance of a range, and the places in them.
fn same_constant(
    (old_section, old_place): (&Section<'_>, u64),
    (new_section, new_place): (&Section<'_>, u64),
    mut behind: Range<u64>,
) -> bool {
    let size = old_section.entry_size;
    behind.all(|distance| {
        let (old, new) = (
            old_place.wrapping_add(distance),
            new_place.wrapping_add(distance),
        );
        let inside = old.checked_rem(size);
        let start = |place: u64| place.wrapping_sub(inside.unwrap_or(0));
        inside == new.checked_rem(size)
            && old_section.bytes(start(old), size) == new_section.bytes(start(new), size)
    })
}
