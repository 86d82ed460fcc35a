//! As one ELF file that starts by the PVH protocol.
//!
//! QEMU's `-kernel` takes such a file (`load_elfboot`, `hw/i386/x86.c`, 7.2), and so do other
//! monitors. Format: the System V ABI's `Elf64_Ehdr` and `Elf64_Phdr`; the note: `ELFNOTE` of type
//! `XEN_ELFNOTE_PHYS32_ENTRY`, `include/xen/interface/elfnote.h`, v7.3.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use kho::PhysAddr;

use crate::boot::Prepared;
use crate::extent::Extent;
use crate::span::{PAGE, page_up};

const HEADER_BYTES: u16 = 64;
const PROGRAM_HEADER_BYTES: u16 = 56;
/// Name size, descriptor size, type, `Xen\0`, descriptor.
const NOTE_BYTES: u64 = 24;
/// `XEN_ELFNOTE_PHYS32_ENTRY`.
const PHYS32_ENTRY: u32 = 18;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Readable, writable, executable: physical memory has no other.
const FLAGS: u32 = 7;
/// `e_phnum` with this value means that the number is elsewhere, where monitors do not look.
const PN_XNUM: usize = 0xffff;

/// Why there is no ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// More ranges of memory than an ELF file can list.
    #[error(
        "{found} separate ranges of memory; an ELF file lists up to {max}: put the handover's pages closer together"
    )]
    TooManyRanges {
        /// How many there are.
        found: usize,
        /// How many there can be.
        max: usize,
    },
}

/// An ELF file that is not in memory in one piece.
#[derive(Clone, Debug)]
pub struct Elf<'a> {
    head: Vec<u8>,
    ranges: Vec<(u64, Extent<'a>)>,
    len_bytes: u64,
}

impl Prepared<'_> {
    /// The ELF file.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn elf(&self) -> Result<Elf<'_>, ElfError> {
        let extents = Extent::join(&self.segments, None);
        let count = extents.len().saturating_add(1);
        let max = PN_XNUM.saturating_sub(1);
        let phnum = u16::try_from(count).ok().filter(|_| count <= max);
        let phnum = phnum.ok_or(ElfError::TooManyRanges {
            found: extents.len(),
            max: max.saturating_sub(1),
        })?;
        let table = u64::from(phnum).saturating_mul(u64::from(PROGRAM_HEADER_BYTES));
        let note_offset = table.saturating_add(u64::from(HEADER_BYTES));
        let mut offset = page_up(note_offset.saturating_add(NOTE_BYTES));
        let mut head = header(self.entry32, phnum);
        let note = ProgramHeader {
            kind: PT_NOTE,
            offset: note_offset,
            addr: 0,
            file_bytes: NOTE_BYTES,
            memory_bytes: NOTE_BYTES,
            alignment: 4,
        };
        note.write(&mut head);
        let mut ranges = Vec::new();
        for extent in extents {
            let file_bytes = extent.content_bytes();
            let load = ProgramHeader {
                kind: PT_LOAD,
                offset,
                addr: extent.span.start,
                file_bytes,
                memory_bytes: extent.span.bytes(),
                alignment: PAGE,
            };
            load.write(&mut head);
            ranges.push((offset, extent));
            offset = offset.saturating_add(page_up(file_bytes));
        }
        write_note(&mut head, self.entry32);
        Ok(Elf {
            head,
            ranges,
            len_bytes: offset,
        })
    }
}

impl<'a> Elf<'a> {
    /// Bytes of the file; where [`pieces`](Self::pieces) has nothing there are zeros.
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// What the file has, ascending: offset and bytes. What they leave out is zeros, so a file may
    /// have holes there.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, Cow<'a, [u8]>)> {
        let head = (0, Cow::Owned(self.head.clone()));
        let ranges = self.ranges.iter().flat_map(|(start, extent)| {
            let piece = |(offset, bytes)| (start.saturating_add(offset), Cow::Borrowed(bytes));
            extent.parts().map(piece)
        });
        core::iter::once(head).chain(ranges)
    }
}

/// `Elf64_Ehdr` of a 64-bit x86 executable whose program headers follow at once.
fn header(entry: PhysAddr, phnum: u16) -> Vec<u8> {
    let mut bytes = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    bytes.extend(2_u16.to_le_bytes()); // e_type: ET_EXEC
    bytes.extend(62_u16.to_le_bytes()); // e_machine: EM_X86_64
    bytes.extend(1_u32.to_le_bytes()); // e_version
    bytes.extend(entry.0.to_le_bytes()); // e_entry
    bytes.extend(u64::from(HEADER_BYTES).to_le_bytes()); // e_phoff
    bytes.extend(0_u64.to_le_bytes()); // e_shoff
    bytes.extend(0_u32.to_le_bytes()); // e_flags
    for half in [HEADER_BYTES, PROGRAM_HEADER_BYTES, phnum, 64, 0, 0] {
        bytes.extend(half.to_le_bytes()); // e_ehsize, e_phentsize, e_phnum, e_shentsize, ...
    }
    bytes
}

struct ProgramHeader {
    kind: u32,
    offset: u64,
    addr: u64,
    file_bytes: u64,
    memory_bytes: u64,
    alignment: u64,
}

impl ProgramHeader {
    /// `Elf64_Phdr`, with the virtual address the same as the physical one.
    fn write(&self, to: &mut Vec<u8>) {
        to.extend(self.kind.to_le_bytes());
        to.extend(FLAGS.to_le_bytes());
        to.extend(self.offset.to_le_bytes());
        to.extend(self.addr.to_le_bytes());
        to.extend(self.addr.to_le_bytes());
        to.extend(self.file_bytes.to_le_bytes());
        to.extend(self.memory_bytes.to_le_bytes());
        to.extend(self.alignment.to_le_bytes());
    }
}

/// The note with the 32-bit entry. The descriptor has 8 bytes: QEMU reads a native word.
fn write_note(to: &mut Vec<u8>, entry: PhysAddr) {
    to.extend(4_u32.to_le_bytes());
    to.extend(8_u32.to_le_bytes());
    to.extend(PHYS32_ENTRY.to_le_bytes());
    to.extend(*b"Xen\0");
    to.extend(entry.0.to_le_bytes());
}
