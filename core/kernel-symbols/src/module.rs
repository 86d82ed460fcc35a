//! Modules: `.ko` files.
//!
//! A module is a relocatable file: its symbols have values relative to sections, and where sections are is decided when
//! it is loaded. [`Module::table_at`] takes the addresses that the kernel tells in `/sys/module/*/sections`;
//! [`Module::table`] lays the sections out as the kernel does, for questions whose answer does not depend on where.

mod info;
mod memory;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use object::elf::{ET_REL, SHF_ALLOC, SHT_NOBITS, SymbolSection};

use crate::builder::Builder;
use crate::elf::{ElfFile, RawSymbol};
use crate::kind::Kind;
use crate::klp::SHN_LIVEPATCH;
use crate::name::{Ending, Name};
use crate::object::ObjectKind;
use crate::region::Region;
use crate::table::{Table, TableEntry};

pub use crate::elf::ElfError;
pub use memory::SectionAddress;

use memory::{Memory, Placement};

/// Per-CPU data of modules, which has an offset from the memory of a CPU instead of an address.
const PER_CPU: &[u8] = b".data..percpu";
/// Where [`Module::table`] and [`Module::table_at`] put it: the kernel does not tell where it is.
const PER_CPU_BASE: u64 = 0x1_0000;

/// Where they put what is not kept: the kernel has it in the image of the file, which is gone after loading.
const NOT_KEPT_BASE: u64 = 0x8_0000;

/// A module's file.
#[derive(Clone, Debug)]
pub struct Module<'d> {
    pub(crate) elf: ElfFile<'d>,
    /// Where each section goes.
    memory: Vec<Option<Memory>>,
    /// Number of the section with per-CPU data.
    per_cpu: Option<usize>,
    is_livepatch: bool,
}

/// Which of its symbols the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// While it is loaded: all. Livepatch patches a module that is loaded after the patch in this phase.
    Loading,
    /// After its init function: those of memory that stays (`is_core_symbol`, `kernel/module/kallsyms.c`, v7.3,
    /// with `CONFIG_KALLSYMS_ALL`, which livepatch needs). Livepatch patches a module that was there before the
    /// patch in this phase.
    Live,
}

impl<'d> Module<'d> {
    /// Reads a `.ko` file.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn parse(file: &'d [u8]) -> Result<Self, ElfError> {
        let elf = ElfFile::parse(file)?;
        if elf.kind != ET_REL {
            return Err(ElfError::Type {
                found: elf.kind.0,
                expected: "ET_REL (1), as modules have",
            });
        }
        let memory: Vec<Option<Memory>> = elf.sections.iter().map(Memory::of).collect();
        check_sizes(&elf, &memory)?;
        let per_cpu = elf.section(PER_CPU).map(|(number, _)| number);
        let mut module = Self {
            elf,
            memory,
            per_cpu,
            is_livepatch: false,
        };
        module.is_livepatch = module.info(b"livepatch").is_some();
        Ok(module)
    }

    /// Its name, as it says itself (`name=` in `.modinfo`).
    #[must_use]
    pub fn name(&self) -> Option<Name<'d>> {
        self.info(b"name").map(Name::new)
    }

    /// Whether it is a livepatch (`livepatch=` in `.modinfo`). Such a module keeps its whole symbol table.
    #[must_use]
    pub const fn is_livepatch(&self) -> bool {
        self.is_livepatch
    }

    /// Its symbols, with sections laid out from `base` on as the kernel does on x86-64: code, read-only data, data that
    /// becomes read-only, data, then init code and data, each in pages of its own. `base` is the start of a page, not in
    /// the first MiB, where what has no memory of its own is put. Other machines add sections
    /// for far calls; order and positions are the same there.
    ///
    /// # Errors
    /// [`ElfError::TooLarge`].
    pub fn table(&self, base: u64, phase: Phase) -> Result<Table<'d>, ElfError> {
        self.build(&self.simulated(base), phase)
    }

    /// Its symbols, with sections where the kernel says (`/sys/module/NAME/sections`).
    ///
    /// # Errors
    /// [`ElfError::TooLarge`].
    pub fn table_at(
        &self,
        sections: &[SectionAddress<'_>],
        phase: Phase,
    ) -> Result<Table<'d>, ElfError> {
        self.build(&self.placed(sections), phase)
    }

    /// Its memory, with sections where the kernel says. What of it is init memory is gone after loading, and not in it.
    #[must_use]
    pub fn regions_at(&self, sections: &[SectionAddress<'_>]) -> Vec<Region> {
        self.regions(&self.placed(sections), Phase::Live)
    }

    /// Its memory, with sections laid out from `base` on as in [`Module::table`].
    #[must_use]
    pub fn regions_from(&self, base: u64, phase: Phase) -> Vec<Region> {
        self.regions(&self.simulated(base), phase)
    }

    /// Whether a symbol is a function by its type (`STT_FUNC`).
    #[must_use]
    pub fn is_function(&self, index: u32) -> bool {
        let symbol = self.elf.raw_symbol(index);
        symbol.is_some_and(|symbol| symbol.kind == object::elf::STT_FUNC)
    }

    fn build(&self, placement: &Placement, phase: Phase) -> Result<Table<'d>, ElfError> {
        let symbols = self.elf.symbols.len();
        let mut builder = Builder::new(Ending::Nul, symbols);
        let name = self.name().map_or(&b""[..], Name::as_bytes);
        let object = builder.object(name, ObjectKind::Module);
        builder.begin(object);
        for (number, symbol) in self.elf.raw_symbols().enumerate() {
            let addr = self.address(symbol, placement);
            let kind = match number {
                // "ELF starts real symbols at 1": whatever the first entry says, the kernel passes over it.
                0 => self.kind(symbol, phase).uncounted(),
                _ => self.kind(symbol, phase),
            };
            let name = self.elf.string(symbol.name);
            if !builder.push(TableEntry { addr, kind }, symbol.name, name) {
                return Err(ElfError::TooLarge { symbols });
            }
        }
        // A module without any memory is nowhere.
        builder.region(object, Region { start: 0, end: 0 });
        for region in self.regions(placement, phase) {
            builder.region(object, region);
        }
        Ok(builder.finish(Cow::Borrowed(self.elf.strings)))
    }

    pub(crate) fn address(&self, symbol: RawSymbol, placement: &Placement) -> u64 {
        let base = match placement.get(usize::from(symbol.section.0)) {
            Some(base) if !symbol.is_undefined() => base.unwrap_or(NOT_KEPT_BASE),
            _ => 0,
        };
        symbol.value.wrapping_add(base)
    }

    fn kind(&self, symbol: RawSymbol, phase: Phase) -> Kind {
        let letter = match symbol.letter(&self.elf.sections) {
            b't' | b'd' | b'r' | b'b' if self.is_per_cpu(symbol.section) => b'a',
            letter => letter,
        };
        let kind = Kind::of_letter(letter);
        if symbol.is_undefined() || (phase == Phase::Live && !self.is_core(symbol)) {
            return kind.uncounted();
        }
        kind
    }

    fn is_per_cpu(&self, section: SymbolSection) -> bool {
        self.per_cpu == Some(usize::from(section.0))
    }

    /// Whether a symbol stays after the init function.
    pub(crate) fn is_core(&self, symbol: RawSymbol) -> bool {
        if self.is_livepatch {
            return true;
        }
        let memory = self
            .memory
            .get(usize::from(symbol.section.0))
            .copied()
            .flatten();
        symbol.name != 0 && (memory.is_some_and(Memory::stays) || self.is_per_cpu(symbol.section))
    }

    /// Whether a symbol is livepatch's: defined in another object, and looked up there.
    pub(crate) const fn is_klp(symbol: RawSymbol) -> bool {
        symbol.section.0 == SHN_LIVEPATCH
    }

    /// Whether a section is in memory at all.
    pub(crate) fn is_allocated(&self, section: usize) -> bool {
        self.elf
            .sections
            .get(section)
            .is_some_and(|it| it.has(SHF_ALLOC))
    }
}

/// Most memory of a module, in bytes: so much that no address overflows on the way to it. No module has as much.
const MEMORY_MAXIMUM: u64 = 1 << 30;

/// Refuses sections that are not in the file, or that together are too large.
fn check_sizes(elf: &ElfFile<'_>, memory: &[Option<Memory>]) -> Result<(), ElfError> {
    let mut total = 0_u64;
    for (number, (section, memory)) in elf.sections.iter().zip(memory).enumerate() {
        if memory.is_none() {
            continue;
        }
        let size = u64::try_from(section.data(elf.file).len()).unwrap_or(0);
        let is_there = section.kind == SHT_NOBITS || size == section.size;
        total = total
            .saturating_add(section.size)
            .saturating_add(section.align);
        if !is_there || total >= MEMORY_MAXIMUM {
            return Err(ElfError::SectionSize {
                section: number,
                size_bytes: section.size,
                align: section.align,
            });
        }
    }
    Ok(())
}
