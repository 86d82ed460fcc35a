//! The rule of `objtool klp checksum` (v7.3), found by comparing running checksums of small objects.
//!
//! It leaves out what has no name; [`Rule::Content`](crate::Rule::Content) does not.

use alloc::vec::Vec;

use elf_index::{Object, Reloc, Relocs, SectionId, Symbol, SymbolId};

use crate::insn::{Branch, Flow, Insn, Insns, meant_addend};
use crate::program::{Error, Program, Subject, known_name};
use crate::special::Alternative;
use crate::switch_table::{self, Body, SwitchTable};
use crate::transcript::{At, Reason, Transcript};

/// `enum alternative_type`, as its numbers become part of the checksum.
mod kind {
    pub(super) const REPLACEMENT: u32 = 0;
    pub(super) const JUMP_LABEL: u32 = 1;
    pub(super) const FIXUP: u32 = 2;
    /// Objtool leaves the type of a switch table unset.
    pub(super) const SWITCH: u32 = 0;
}

pub(crate) fn transcribe(
    program: &Program<'_, '_>,
    subject: Subject,
    transcript: &mut Transcript,
) -> Result<(), Error> {
    let object = program.object();
    if object.symbol(subject.symbol).is_some_and(Symbol::is_func) {
        function(program, subject.symbol, transcript)?;
        if let Some(cold) = subject.cold {
            function(program, cold, transcript)?;
        }
        return Ok(());
    }
    data(program, subject.symbol, transcript)
}

fn data(program: &Program<'_, '_>, id: SymbolId, transcript: &mut Transcript) -> Result<(), Error> {
    let Some((symbol, section_id, section)) = program.body(id)? else {
        return Ok(());
    };
    let object = program.object();
    let at = At {
        section: section_id,
        offset: symbol.value,
    };
    let zero = 0_u64.to_le_bytes();
    transcript.part(&zero);
    let size = u32::try_from(symbol.size & u64::from(u32::MAX)).unwrap_or(0);
    transcript.step(at, Reason::Length, &size.to_le_bytes());
    if let Some(bytes) = section.bytes(symbol.value, symbol.size) {
        if !section.is_nobits() {
            transcript.part(&zero);
            transcript.step(at, Reason::Data, bytes);
        }
    }
    for reloc in object
        .relocs(section_id)
        .within(symbol.value..symbol.end())
        .iter()
    {
        let offset = reloc.offset.wrapping_sub(symbol.value).to_le_bytes();
        let at = At {
            section: section_id,
            offset: reloc.offset,
        };
        match target(object, &reloc, reloc.addend) {
            Some(Target::String(text)) => {
                transcript.part(&offset);
                transcript.step(at, Reason::String, text);
            }
            Some(Target::Constant(bytes)) => {
                transcript.part(&offset);
                transcript.step(at, Reason::Constant, bytes);
            }
            Some(Target::Named(name, addend)) => {
                transcript.part(&offset);
                transcript.step(at, Reason::TargetName, name.as_bytes());
                transcript.part(&offset);
                transcript.step(at, Reason::TargetOffset, &addend.to_le_bytes());
            }
            None => {}
        }
    }
    Ok(())
}

/// What a relocation leads to.
enum Target<'d> {
    String(&'d [u8]),
    Constant(&'d [u8]),
    Named(&'d str, i64),
}

fn target<'d>(object: &Object<'d>, reloc: &Reloc, addend: i64) -> Option<Target<'d>> {
    let symbol = object.symbol(reloc.symbol)?;
    let section = object.section_of(symbol);
    if let Some(section) = section {
        let offset = symbol.value.wrapping_add_signed(addend);
        if section.is_strings() {
            return section.string(offset).map(Target::String);
        }
        let is_unnamed = symbol.is_section() || symbol.name.starts_with(".LC");
        if is_unnamed && section.name.starts_with(".rodata.cst") {
            let constant = section.bytes(offset, section.entry_size);
            return constant.map(Target::Constant);
        }
    }
    if !symbol.is_section() {
        return Some(Target::Named(known_name(symbol), addend));
    }
    let section = symbol.place.section()?;
    let offset = u64::try_from(addend).ok()?;
    let found = object.symbol(object.symbol_containing(section, offset)?)?;
    let inside = offset.wrapping_sub(found.value).cast_signed();
    Some(Target::Named(known_name(found), inside))
}

fn function(
    program: &Program<'_, '_>,
    id: SymbolId,
    transcript: &mut Transcript,
) -> Result<(), Error> {
    let Some((symbol, section, header)) = program.body(id)? else {
        return Ok(());
    };
    let object = program.object();
    let range = symbol.value..symbol.end();
    let Some(code) = header.bytes(symbol.value, symbol.size) else {
        return Ok(());
    };
    let mut walk = Walk {
        object,
        section,
        relocs: object.relocs(section).within(range.clone()),
        body: Body {
            section,
            start: range.start,
            end: range.end,
        },
        tables: Vec::new(),
        transcript,
    };
    walk.tables = switch_table::of_function(object, &walk.body, code, walk.relocs);
    let mut special = program.special().within(section, range).iter().peekable();
    for insn in Insns::new(code, symbol.value) {
        walk.insn(&insn);
        while let Some((at, entry)) = special.peek() {
            if at.offset >= insn.end() {
                break;
            }
            if at.offset == insn.offset {
                walk.alternative(&insn, *entry);
            }
            special.next();
        }
        walk.switch(&insn);
    }
    Ok(())
}

struct Walk<'a, 'd> {
    object: &'a Object<'d>,
    section: SectionId,
    relocs: Relocs<'a>,
    body: Body,
    /// Jumps through tables, by offset, with the targets in the order of slots.
    tables: Vec<SwitchTable>,
    transcript: &'a mut Transcript,
}

impl Walk<'_, '_> {
    fn insn(&mut self, insn: &Insn) {
        let reloc = self.relocs.take_below(insn.end()).first();
        instruction(self.object, self.section, insn, reloc, self.transcript);
    }

    fn at(&self, insn: &Insn) -> At {
        At {
            section: self.section,
            offset: insn.offset,
        }
    }

    fn kind(&mut self, insn: &Insn, kind: u32) {
        let at = self.at(insn);
        self.transcript
            .step(at, Reason::AlternativeKind, &kind.to_le_bytes());
    }

    fn alternative(&mut self, insn: &Insn, alternative: Alternative) {
        match alternative {
            Alternative::Replacement {
                feature,
                section,
                offset,
                len,
                ..
            } => {
                self.kind(insn, kind::REPLACEMENT);
                let at = self.at(insn);
                self.transcript
                    .step(at, Reason::AlternativeFeature, &feature.to_le_bytes());
                for replacement in insns_at(self.object, section, offset, len) {
                    self.elsewhere(section, &replacement);
                }
            }
            Alternative::JumpLabel {
                section, offset, ..
            } => {
                self.kind(insn, kind::JUMP_LABEL);
                let next = At {
                    section: self.section,
                    offset: insn.end(),
                };
                let to = if insn.is_nop {
                    At { section, offset }
                } else {
                    next
                };
                self.first_at(to);
            }
            Alternative::Fixup {
                section, offset, ..
            } => {
                self.kind(insn, kind::FIXUP);
                self.first_at(At { section, offset });
            }
        }
    }

    fn switch(&mut self, insn: &Insn) {
        let at = self
            .tables
            .iter()
            .position(|table| table.jump == insn.offset);
        let Some(table) = at.map(|at| self.tables.swap_remove(at)) else {
            return;
        };
        for target in table.targets.iter().rev() {
            self.kind(insn, kind::SWITCH);
            self.first_at(At {
                section: self.section,
                offset: *target,
            });
        }
    }

    /// The one instruction at a place.
    fn first_at(&mut self, at: At) {
        let most = 15;
        if let Some(insn) = insns_at(self.object, at.section, at.offset, most).next() {
            self.elsewhere(at.section, &insn);
        }
    }

    fn elsewhere(&mut self, section: SectionId, insn: &Insn) {
        let relocs = self.object.relocs(section);
        let reloc = relocs.within(insn.offset..insn.end()).first();
        instruction(self.object, section, insn, reloc, self.transcript);
    }
}

/// Instructions of a section; fewer bytes when the section ends before.
fn insns_at<'a>(object: &Object<'a>, section: SectionId, offset: u64, len: u64) -> Insns<'a> {
    let code = object.section(section).and_then(|section| {
        let left = section.size.checked_sub(offset)?;
        section.bytes(offset, len.min(left))
    });
    Insns::new(code.unwrap_or_default(), offset)
}

fn instruction(
    object: &Object<'_>,
    section: SectionId,
    insn: &Insn,
    reloc: Option<Reloc>,
    transcript: &mut Transcript,
) {
    let at = At {
        section,
        offset: insn.offset,
    };
    let Some(header) = object.section(section) else {
        return;
    };
    let mut bytes = header.bytes(insn.offset, insn.len).unwrap_or_default();
    match (reloc, insn.flow) {
        (
            None,
            Flow::Direct {
                target,
                displacement,
                branch,
            },
        ) => {
            let opcode = insn.len.saturating_sub(displacement);
            bytes = header.bytes(insn.offset, opcode).unwrap_or_default();
            transcript.step(at, Reason::Instruction, bytes);
            let found = object.symbol_containing(section, target);
            if let Some(found) = found.and_then(|id| object.symbol(id)) {
                let name = known_name(found).as_bytes();
                transcript.step(at, Reason::TargetName, name);
                // A jump to another function is a call as its last act.
                let is_inside = found.value <= insn.offset && insn.offset < found.end();
                let is_entered = found.value == target && (branch == Branch::Call || !is_inside);
                if !is_entered {
                    let offset = target.wrapping_sub(found.value);
                    transcript.step(at, Reason::TargetOffset, &offset.to_le_bytes());
                }
            }
        }
        (None, _) => transcript.step(at, Reason::Instruction, bytes),
        (Some(reloc), _) => {
            transcript.step(at, Reason::Instruction, bytes);
            let addend = without_kernel_map(meant_addend(&reloc, insn));
            match target(object, &reloc, addend) {
                Some(Target::String(text)) => transcript.step(at, Reason::String, text),
                Some(Target::Constant(bytes)) => transcript.step(at, Reason::Constant, bytes),
                Some(Target::Named(name, addend)) => {
                    transcript.step(at, Reason::TargetName, name.as_bytes());
                    transcript.step(at, Reason::TargetOffset, &addend.to_le_bytes());
                }
                None => {}
            }
        }
    }
}

/// Physical addresses of symbols are written as the symbol less `__START_KERNEL_map`.
const fn without_kernel_map(addend: i64) -> i64 {
    if addend == 0x8000_0000 { 0 } else { addend }
}
