//! [`Layout`]: where copied bytes go.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use elf_index::{Object, Section, SectionId};
use klp_diff::{Piece, Plan};
use object::elf::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_PROGBITS, SectionFlags};

use crate::error::Error;
use crate::image::{Image, ImageSection, SectionNumber};

/// Largest alignment of a section: that of a large page.
const ALIGN_MAXIMUM: u64 = 2 << 20;

/// A piece with its place in the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    pub(crate) piece: Piece,
    pub(crate) section: SectionNumber,
    /// Offset of the first byte of the piece there.
    pub(crate) offset: u64,
}

/// Where copied bytes go: each section of the object has one of its name in the image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// By section and start; they do not overlap but in sections of strings.
    copied: Vec<Copied>,
    sections: BTreeMap<SectionId, SectionNumber>,
}

/// What puts a piece behind the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spacing {
    /// So that it is aligned as before.
    Aligned,
    /// Without a gap: an array.
    Dense,
}

impl Layout {
    /// Copies everything of a plan into an image.
    pub(crate) fn new<'d>(
        object: &Object<'d>,
        plan: &Plan<'_>,
        image: &mut Image<'d>,
    ) -> Result<Self, Error> {
        let mut layout = Self::default();
        for piece in joined(object, plan.pieces.iter().copied()) {
            layout.copy(object, piece, Spacing::Aligned, image)?;
        }
        for entry in &plan.entries {
            layout.copy(object, *entry, Spacing::Dense, image)?;
        }
        layout
            .copied
            .sort_by_key(|copied| (copied.piece.section, copied.piece.start, copied.piece.end));
        Ok(layout)
    }

    /// Every piece.
    pub(crate) fn copied(&self) -> &[Copied] {
        &self.copied
    }

    /// The copy of a place.
    pub(crate) fn locate(&self, section: SectionId, offset: u64) -> Option<(SectionNumber, u64)> {
        self.find(section, offset, |piece| piece.contains(offset))
    }

    /// The copy of a place one past the end of a piece.
    pub(crate) fn locate_end(
        &self,
        section: SectionId,
        offset: u64,
    ) -> Option<(SectionNumber, u64)> {
        self.find(section, offset, |piece| piece.end == offset)
    }

    fn find(
        &self,
        section: SectionId,
        offset: u64,
        is_it_fn: impl Fn(&Piece) -> bool,
    ) -> Option<(SectionNumber, u64)> {
        let behind = self
            .copied
            .partition_point(|it| (it.piece.section, it.piece.start) <= (section, offset));
        // Strings may overlap: then the last that begins not behind the place and has it counts.
        let found = self.copied.get(..behind)?.iter().rev();
        let mut found = found.take_while(|it| it.piece.section == section);
        let found = found.find(|it| is_it_fn(&it.piece))?;
        let inside = offset.checked_sub(found.piece.start)?;
        Some((found.section, found.offset.checked_add(inside)?))
    }

    fn copy<'d>(
        &mut self,
        object: &Object<'d>,
        piece: Piece,
        spacing: Spacing,
        image: &mut Image<'d>,
    ) -> Result<(), Error> {
        let Some(header) = object.section(piece.section) else {
            return Ok(());
        };
        let number = *self
            .sections
            .entry(piece.section)
            .or_insert_with(|| image.add_section(like(header)));
        if !header.align.max(1).is_power_of_two() || header.align > ALIGN_MAXIMUM {
            return Err(Error::Align {
                section: header.name.into(),
                align: header.align,
            });
        }
        let Some(section) = image.sections.get_mut(number.0) else {
            return Ok(());
        };
        let outside = || Error::Outside {
            section: header.name.into(),
            start: piece.start,
            end: piece.end,
            size: header.size,
        };
        let len = piece.end.checked_sub(piece.start).ok_or_else(outside)?;
        if piece.end > header.size {
            return Err(outside());
        }
        if spacing == Spacing::Aligned {
            let align = header.align.max(1);
            let wanted = piece.start.checked_rem(align).unwrap_or(0);
            let found = section.size.checked_rem(align).unwrap_or(0);
            let gap = wanted.wrapping_add(align).wrapping_sub(found);
            section.append_zeros(gap.checked_rem(align).unwrap_or(0));
        }
        let offset = section.size;
        if header.is_nobits() {
            section.append_zeros(len);
        } else {
            section.append(header.bytes(piece.start, len).ok_or_else(outside)?);
        }
        self.copied.push(Copied {
            piece,
            section: number,
            offset,
        });
        Ok(())
    }
}

/// A section like another, without contents. No linker may merge its entries: their places are settled.
fn like<'d>(header: &Section<'d>) -> ImageSection<'d> {
    let kept = SHF_ALLOC.0 | SHF_WRITE.0 | SHF_EXECINSTR.0;
    ImageSection {
        name: Cow::Borrowed(header.name),
        // A table of a damaged file is no table here.
        kind: if header.is_nobits() {
            SHT_NOBITS
        } else {
            SHT_PROGBITS
        },
        flags: SectionFlags(header.flags.0 & kept),
        align: header.align.max(1),
        entry_size: if header.is_mergeable() && header.is_strings() {
            0
        } else {
            header.entry_size
        },
        data: Vec::new(),
        size: 0,
        relocs: Vec::new(),
    }
}

/// Pieces of one section that overlap are one; strings are told apart, because one may be the end of another.
fn joined(object: &Object<'_>, pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        let is_strings = object
            .section(piece.section)
            .is_some_and(|section| section.is_strings());
        match joined.last_mut() {
            Some(last)
                if !is_strings && last.section == piece.section && piece.start < last.end =>
            {
                last.end = last.end.max(piece.end);
            }
            _ => joined.push(piece),
        }
    }
    joined
}
