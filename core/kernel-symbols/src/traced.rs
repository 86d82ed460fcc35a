//! [`Traced`]: where the tracer of functions can put its calls.
//!
//! Livepatch replaces a function by having the tracer call something else at such a place in it; without one it fails with
//! `EINVAL` (`klp_patch_func`, `kernel/livepatch/patch.c`; `ftrace_location`, `kernel/trace/ftrace.c`, v7.3).

use alloc::vec::Vec;

use object::elf::SHT_RELA;

use crate::elf::{ElfError, ElfFile};
use crate::klp::read_relocations;
use crate::module::Module;
use crate::symbol::Symbol;
use crate::table::Table;

/// Sections that list the places, by how compilers make them.
const SECTIONS: [&[u8]; 2] = [b"__mcount_loc", b"__patchable_function_entries"];

/// Symbols around the list in the linked kernel.
const BOUNDS: [&[u8]; 2] = [b"__start_mcount_loc", b"__stop_mcount_loc"];

/// Places of the tracer, in addresses of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// Ascending.
    places: Vec<u64>,
}

impl Traced {
    /// Reads the places of `vmlinux`, at the addresses of [`vmlinux::parse`](crate::vmlinux::parse). `None` when the file
    /// does not have them: on some machines they are written when the kernel starts.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn of_vmlinux(file: &[u8]) -> Result<Option<Self>, ElfError> {
        let elf = ElfFile::parse(file)?;
        let [start, stop] = BOUNDS.map(|bound| {
            let mut symbols = elf.raw_symbols();
            symbols.find(|symbol| elf.string(symbol.name) == bound)
        });
        let Some((start, stop)) = start.zip(stop) else {
            return Ok(None);
        };
        let Some(section) = elf.sections.get(usize::from(start.section.0)) else {
            return Ok(None);
        };
        let data = section.data(file);
        let at = |addr: u64| usize::try_from(addr.checked_sub(section.address)?).ok();
        let list = at(start.value)
            .zip(at(stop.value))
            .and_then(|(first, last)| data.get(first..last));
        let (entries, _rest) = list.unwrap_or_default().as_chunks::<8>();
        let mut places: Vec<u64> = entries
            .iter()
            .map(|entry| crate::elf::word(*entry, elf.endian))
            .collect();
        places.sort_unstable();
        // What is not filled in says nothing.
        let is_filled = places.last().is_some_and(|last| *last != 0);
        Ok(is_filled.then_some(Self { places }))
    }

    /// Reads the places of a module, at the addresses of [`Module::table`] from `base` on.
    #[must_use]
    pub fn of_module(module: &Module<'_>, base: u64) -> Self {
        let placement = module.simulated(base);
        let sections = module.elf.sections.iter();
        let tables = sections.filter(|table| {
            let target = usize::try_from(table.info)
                .ok()
                .and_then(|number| module.elf.sections.get(number));
            table.kind == SHT_RELA && target.is_some_and(|it| SECTIONS.contains(&it.name))
        });
        let mut places: Vec<u64> = tables
            .flat_map(|table| read_relocations(module, table))
            .filter_map(|relocation| {
                let symbol = module.elf.raw_symbol(relocation.symbol)?;
                let addr = module.address(symbol, &placement);
                Some(addr.wrapping_add_signed(relocation.addend))
            })
            .collect();
        places.sort_unstable();
        Self { places }
    }

    /// Whether the tracer can be called from a function.
    #[must_use]
    pub fn has(&self, table: &Table<'_>, function: Symbol<'_>) -> bool {
        let addr = function.address();
        let end = table.lookup(addr).map_or(addr, |found| found.end());
        let at = self.places.partition_point(|place| *place < addr);
        self.places.get(at).is_some_and(|place| *place < end)
    }

    /// How many places there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
