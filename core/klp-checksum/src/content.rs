//! The rule that covers everything a function or an object means.
//!
//! What has a name is written as name and offset: a change there is a change of its own. What has none is written with
//! its contents, and so is what that refers to. Every part is preceded by its kind and length, so that no two different
//! meanings give the same bytes.
//!
//! Left out on purpose:
//!
//! * line and column of a Rust panic `Location`, which every edit further up in the file moves. It is recognised by its
//!   shape (24 bytes, `library/core/src/panic/location.rs` of Rust 1.95) and by a file name that ends in `.rs`;
//! * the numbers that compilers append to names.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use elf_index::{Object, Reloc, Relocs, Section, SectionId, SymbolId};

use crate::insn::{Branch, Flow, Insn, Insns, meant_addend};
use crate::program::{Error, Program, Subject, known_name};
use crate::special::Alternative;
use crate::transcript::{At, Reason, Transcript};
use crate::unnamed::is_unnamed_symbol;

pub(crate) fn transcribe(
    program: &Program<'_, '_>,
    subject: Subject,
    transcript: &mut Transcript,
) -> Result<(), Error> {
    let mut writer = Writer {
        program,
        object: program.object(),
        transcript,
        pieces: Vec::new(),
        numbered: BTreeMap::new(),
        done: 0,
    };
    let bodies = [Some(subject.symbol), subject.cold];
    for id in bodies.into_iter().flatten() {
        if let Some((symbol, section_id, section)) = program.body(id)? {
            let at = At {
                section: section_id,
                offset: symbol.value,
            };
            if symbol.is_func() {
                writer.function(at, symbol.size, section);
            } else {
                writer.data(at, symbol.end(), section, Reason::Data);
            }
        }
    }
    writer.rest();
    Ok(())
}

/// Kinds of what a relocation leads to.
mod tag {
    pub(super) const NAMED: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const CONSTANT: u8 = 3;
    pub(super) const UNNAMED: u8 = 4;
    pub(super) const SECTION: u8 = 5;
    pub(super) const NUMBER: u8 = 6;
}

struct Writer<'a, 'o, 'd> {
    program: &'a Program<'o, 'd>,
    object: &'o Object<'d>,
    transcript: &'a mut Transcript,
    /// Unnamed pieces in the order of discovery: place and end.
    pieces: Vec<(At, u64)>,
    /// Which of several equally named local symbols this is, in the order of discovery.
    numbered: BTreeMap<&'d str, Vec<SymbolId>>,
    /// Pieces that are written already.
    done: usize,
}

impl<'d> Writer<'_, '_, 'd> {
    fn function(&mut self, start: At, size: u64, section: &Section<'d>) {
        let Some(code) = section.bytes(start.offset, size) else {
            return;
        };
        let range = start.offset..start.offset.saturating_add(size);
        let program = self.program;
        let mut special = program
            .special()
            .within(start.section, range.clone())
            .iter()
            .peekable();
        let mut relocs = self.object.relocs(start.section).within(range);
        for insn in Insns::new(code, start.offset) {
            let own = relocs.take_below(insn.end());
            self.instruction(start.section, &insn, own, Some(start.offset));
            while let Some((at, entry)) = special.next_if(|(at, _)| at.offset < insn.end()) {
                self.alternative(start, *at, *entry);
            }
        }
    }

    /// One instruction; a place in its own body is written relative to that.
    fn instruction(
        &mut self,
        section: SectionId,
        insn: &Insn,
        relocs: Relocs<'_>,
        body: Option<u64>,
    ) {
        let at = At {
            section,
            offset: insn.offset,
        };
        let object = self.object;
        let Some(header) = object.section(section) else {
            return;
        };
        let bytes = header.bytes(insn.offset, insn.len).unwrap_or_default();
        match insn.flow {
            Flow::Direct {
                target,
                displacement,
                branch,
            } if relocs.is_empty() => {
                let opcode = insn.len.saturating_sub(displacement);
                let bytes = header.bytes(insn.offset, opcode).unwrap_or_default();
                self.piece(bytes);
                self.transcript.step(at, Reason::Instruction, &[]);
                self.branch(at, section, target, branch, body);
            }
            _ => {
                self.piece(bytes);
                self.transcript.step(at, Reason::Instruction, &[]);
                for reloc in relocs.iter() {
                    let inside = reloc.offset.wrapping_sub(insn.offset);
                    self.relocation(at, inside, &reloc, meant_addend(&reloc, insn));
                }
            }
        }
    }

    fn branch(&mut self, at: At, section: SectionId, to: u64, branch: Branch, body: Option<u64>) {
        let is_call = [u8::from(branch == Branch::Call)];
        self.transcript.part(&is_call);
        let place = At {
            section,
            offset: to,
        };
        self.place(at, place, body);
    }

    /// A place in code, by the function it is in.
    fn place(&mut self, at: At, place: At, body: Option<u64>) {
        let found = self.object.symbol_containing(place.section, place.offset);
        let found = found.and_then(|id| self.object.symbol(id));
        match (found, body) {
            (Some(found), _) => {
                let offset = place.offset.wrapping_sub(found.value);
                self.tagged(tag::NAMED, known_name(found).as_bytes());
                self.transcript.step(at, Reason::TargetName, &[]);
                self.transcript
                    .step(at, Reason::TargetOffset, &offset.to_le_bytes());
            }
            (None, Some(start)) => {
                let offset = place.offset.wrapping_sub(start);
                self.tagged(tag::NUMBER, &offset.to_le_bytes());
                self.transcript.step(at, Reason::TargetOffset, &[]);
            }
            (None, None) => {
                let section = self.object.section(place.section);
                let name = section.map_or("", |section| section.name);
                self.tagged(tag::SECTION, name.as_bytes());
                self.transcript.step(at, Reason::TargetName, &[]);
            }
        }
    }

    fn alternative(&mut self, start: At, at: At, entry: Alternative) {
        // Where the entry applies is part of what it means.
        let place = at.offset.wrapping_sub(start.offset).to_le_bytes();
        self.transcript.part(&place);
        match entry {
            Alternative::Replacement {
                feature,
                replaced,
                section,
                offset,
                len,
            } => {
                self.transcript.part(&replaced.to_le_bytes());
                self.transcript.part(&len.to_le_bytes());
                self.transcript
                    .step(at, Reason::AlternativeFeature, &feature.to_le_bytes());
                let header = self.object.section(section);
                let code = header.and_then(|header| header.bytes(offset, len));
                let end = offset.saturating_add(len);
                let mut relocs = self.object.relocs(section).within(offset..end);
                for insn in Insns::new(code.unwrap_or_default(), offset) {
                    let own = relocs.take_below(insn.end());
                    self.instruction(section, &insn, own, Some(offset));
                }
            }
            Alternative::JumpLabel {
                section,
                offset,
                entry,
            } => {
                self.transcript
                    .step(at, Reason::AlternativeKind, b"jump label");
                self.place(at, At { section, offset }, Some(start.offset));
                // Which key, and which way is the usual one.
                self.entry(at, entry, 8..16);
            }
            Alternative::Fixup {
                section,
                offset,
                entry,
            } => {
                self.transcript.step(at, Reason::AlternativeKind, b"fixup");
                self.place(at, At { section, offset }, Some(start.offset));
                self.entry(at, entry, 8..12);
            }
        }
    }

    /// Some bytes of an entry of a special section, with their relocations.
    fn entry(&mut self, at: At, entry: At, bytes: core::ops::Range<u64>) {
        let object = self.object;
        let Some(section) = object.section(entry.section) else {
            return;
        };
        let start = entry.offset.saturating_add(bytes.start);
        let end = entry.offset.saturating_add(bytes.end);
        let found = section.bytes(start, end.saturating_sub(start));
        self.piece(found.unwrap_or_default());
        self.transcript.step(at, Reason::SpecialEntry, &[]);
        for reloc in object.relocs(entry.section).within(start..end).iter() {
            let inside = reloc.offset.wrapping_sub(start);
            self.relocation(at, inside, &reloc, reloc.addend);
        }
    }

    fn data(&mut self, start: At, end: u64, section: &Section<'d>, reason: Reason) {
        let size = end.saturating_sub(start.offset);
        self.transcript
            .step(start, Reason::Length, &size.to_le_bytes());
        let bytes = section.bytes(start.offset, size).unwrap_or_default();
        match location_bytes(self.object, start, bytes) {
            Some(kept) => self.piece(kept),
            None => self.piece(bytes),
        }
        self.transcript.step(start, reason, &[]);
        let object = self.object;
        for reloc in object
            .relocs(start.section)
            .within(start.offset..end)
            .iter()
        {
            let at = At {
                section: start.section,
                offset: reloc.offset,
            };
            let inside = reloc.offset.wrapping_sub(start.offset);
            self.relocation(at, inside, &reloc, reloc.addend);
        }
    }

    fn relocation(&mut self, at: At, inside: u64, reloc: &Reloc, addend: i64) {
        self.transcript.part(&inside.to_le_bytes());
        self.transcript
            .step(at, Reason::Relocation, &reloc.kind.to_le_bytes());
        let object = self.object;
        let Some(symbol) = object.symbol(reloc.symbol) else {
            return;
        };
        let Some(section_id) = symbol.place.section() else {
            self.named(at, symbol.name, None, addend);
            return;
        };
        let Some(section) = object.section(section_id) else {
            return;
        };
        let offset = symbol.value.wrapping_add_signed(addend);
        let place = At {
            section: section_id,
            offset,
        };
        if section.is_strings() {
            self.tagged(tag::STRING, section.string(offset).unwrap_or_default());
            self.transcript.step(at, Reason::String, &[]);
            return;
        }
        if !is_unnamed_symbol(symbol) {
            if is_content_of_function(symbol.name) && !section.is_writable() {
                self.found(at, place, symbol.value, symbol.end());
            } else {
                self.named(at, symbol.name, Some(reloc.symbol), addend);
            }
            return;
        }
        if section.is_mergeable() && section.entry_size > 0 {
            self.constant(at, section, offset);
            return;
        }
        self.unnamed(at, place, section);
    }

    /// A place that a section symbol leads to.
    fn unnamed(&mut self, at: At, place: At, section: &Section<'d>) {
        let object = self.object;
        let id = object.symbol_containing(place.section, place.offset);
        let symbol = id.and_then(|id| Some((id, object.symbol(id)?)));
        if let Some((id, symbol)) = symbol.filter(|(_, symbol)| !is_unnamed_symbol(symbol)) {
            let inside = place.offset.wrapping_sub(symbol.value).cast_signed();
            if is_content_of_function(symbol.name) && !section.is_writable() {
                self.found(at, place, symbol.value, symbol.end());
            } else {
                self.named(at, symbol.name, Some(id), inside);
            }
            return;
        }
        if section.name == "__bug_table" {
            self.warning(at, place, section);
            return;
        }
        if section.is_text() || section.name.starts_with(".data..Lubsan") {
            // Places of the sanitizer hold line numbers, and it changes them itself.
            self.tagged(tag::SECTION, known_section(section.name).as_bytes());
            self.transcript.step(at, Reason::TargetName, &[]);
            return;
        }
        match self.program.unnamed().piece(place) {
            Some((start, end)) => self.found(at, place, start, end),
            None => {
                // Before the first or behind the last byte of something: which has its section to itself.
                let whole = object.symbols_in(place.section).first();
                let named = whole.and_then(|id| Some((*id, object.symbol(*id)?)));
                match named {
                    Some((id, symbol)) => {
                        let inside = place.offset.wrapping_sub(symbol.value).cast_signed();
                        self.named(at, symbol.name, Some(id), inside);
                    }
                    None => self.found(at, place, 0, section.size),
                }
            }
        }
    }

    /// The entry of a warning that code refers to: its format, file and flags. Where it is, and in which line, are not
    /// what it means.
    fn warning(&mut self, at: At, place: At, section: &Section<'d>) {
        // `struct bug_entry` with a format and a place in a file (`include/asm-generic/bug.h`, v7.3): four words, of
        // which the first is where, and the last is line and flags.
        let size = match section.entry_size {
            0 | 1 => 16,
            size => size,
        };
        let inside = place.offset.checked_rem(size).unwrap_or(0);
        let entry = At {
            section: place.section,
            offset: place.offset.saturating_sub(inside),
        };
        self.entry(at, entry, 4..size.saturating_sub(4));
        let flags = entry.offset.saturating_add(size).saturating_sub(2);
        let flags = section.bytes(flags, 2).unwrap_or_default();
        self.piece(flags);
        self.transcript.step(at, Reason::SpecialEntry, &[]);
    }

    fn named(&mut self, at: At, name: &'d str, id: Option<SymbolId>, addend: i64) {
        let known = crate::stem(name);
        self.tagged(tag::NAMED, known.as_bytes());
        // Two static variables of one name in one function are two things.
        if let Some(id) = id.filter(|_| known.len() != name.len()) {
            let ids = self.numbered.entry(known).or_default();
            let number = ids.iter().position(|other| *other == id);
            let number = number.unwrap_or_else(|| {
                ids.push(id);
                ids.len().saturating_sub(1)
            });
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            self.transcript.part(&number.to_le_bytes());
        }
        self.transcript.step(at, Reason::TargetName, &[]);
        self.transcript
            .step(at, Reason::TargetOffset, &addend.to_le_bytes());
    }

    fn constant(&mut self, at: At, section: &Section<'d>, offset: u64) {
        let inside = offset.checked_rem(section.entry_size).unwrap_or(0);
        let start = offset.saturating_sub(inside);
        let bytes = section.bytes(start, section.entry_size);
        self.tagged(tag::CONSTANT, bytes.unwrap_or_default());
        self.transcript
            .step(at, Reason::Constant, &inside.to_le_bytes());
    }

    /// A piece of unnamed data is written once, behind what refers to it.
    fn found(&mut self, at: At, place: At, start: u64, end: u64) {
        let piece = At {
            section: place.section,
            offset: start,
        };
        let known = self.pieces.iter().position(|(other, _)| *other == piece);
        let number = known.unwrap_or_else(|| {
            self.pieces.push((piece, end));
            self.pieces.len().saturating_sub(1)
        });
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let inside = place.offset.wrapping_sub(start);
        self.tagged(tag::UNNAMED, &number.to_le_bytes());
        self.transcript
            .step(at, Reason::UnnamedPlace, &inside.to_le_bytes());
    }

    /// Writes every piece of unnamed data that was found, and those found by that.
    fn rest(&mut self) {
        while let Some((piece, end)) = self.pieces.get(self.done).copied() {
            self.done = self.done.saturating_add(1);
            if let Some(section) = self.object.section(piece.section) {
                self.data(piece, end, section, Reason::Unnamed);
            }
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.transcript.part(&[tag]);
        self.piece(bytes);
    }

    fn piece(&mut self, bytes: &[u8]) {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.transcript.part(&len.to_le_bytes());
        self.transcript.part(bytes);
    }
}

/// The part of a Rust `Location` that says more than where it is in its file; `None` for anything else.
pub(crate) fn location_bytes<'b>(
    object: &Object<'_>,
    start: At,
    bytes: &'b [u8],
) -> Option<&'b [u8]> {
    const SIZE: usize = 24;
    if bytes.len() != SIZE {
        return None;
    }
    let kept = bytes.get(..16)?;
    let end = start.offset.checked_add(8)?;
    let relocs = object.relocs(start.section).within(start.offset..end);
    let reloc = relocs
        .first()
        .filter(|reloc| reloc.offset == start.offset)?;
    let symbol = object.symbol(reloc.symbol)?;
    let text = object.section_of(symbol)?;
    let offset = symbol.value.wrapping_add_signed(reloc.addend);
    let len = u64::from_le_bytes(*kept.last_chunk::<8>()?);
    let name = text.bytes(offset, len)?;
    let is_rust = !text.is_writable() && name.ends_with(b".rs");
    is_rust.then_some(kept)
}

/// Read-only data that a compiler makes of a function's own text; it has no counterpart by name.
pub(crate) fn is_content_of_function(name: &str) -> bool {
    const STEMS: [&str; 6] = [
        "CSWTCH.",
        "switch.table.",
        "__const.",
        "__func__.",
        "__FUNCTION__.",
        "__PRETTY_FUNCTION__.",
    ];
    STEMS.iter().any(|stem| name.starts_with(stem)) || name.starts_with("anon.")
}

/// The name of a section without the numbers of a compiler.
fn known_section(name: &str) -> &str {
    name.trim_end_matches(|letter: char| letter.is_ascii_digit())
}
