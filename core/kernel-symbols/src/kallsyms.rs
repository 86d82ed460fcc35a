//! The text of `/proc/kallsyms` and `System.map`.
//!
//! A line is `ADDRESS LETTER NAME`, and for what is not vmlinux a tab and `[MODULE]` (`s_show`,
//! `kernel/kallsyms.c`, v7.3). Symbols of vmlinux come first, by ascending address; then the modules,
//! each in the order of its symbol table; then what the tracer keeps of their init functions, under
//! the names of the modules as well; then `[bpf]` and kprobes.

pub(crate) mod bounds;
pub(crate) mod line;
mod objects;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::builder::Builder;
use crate::name::Ending;
use crate::region::Region;
use crate::table::Table;

use bounds::Bounds;
use line::Line;
use objects::Objects;

/// Why text is no table of symbols.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KallsymsError {
    /// A line that is none of a table.
    #[error("read line {line}, at byte {offset}: {what} in \"{found}\"")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// Where it starts.
        offset: usize,
        /// What is wrong with it.
        what: &'static str,
        /// Its first characters.
        found: String,
    },
    /// There is no symbol.
    #[error("read symbols: there are none in {bytes} bytes of text")]
    Empty {
        /// Length of the text.
        bytes: usize,
    },
    /// Every address is 0: the kernel hides them from this reader.
    #[error("read addresses: all {symbols} are 0, the kernel hides them from this reader")]
    Restricted {
        /// Symbols.
        symbols: usize,
    },
    /// More than a table can hold.
    #[error("read {bytes} bytes of text: a table has at most 4 GiB and 2^30 symbols")]
    TooLarge {
        /// Length of the text.
        bytes: usize,
    },
}

/// Where a module is, for [`parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRegions {
    /// Name of the module.
    pub module: String,
    /// All of its memory.
    pub regions: Vec<Region>,
}

/// Shortest line there is, in bytes: what is reserved for a text is bounded by it.
const TYPICAL_LINE_BYTES: usize = 44;

/// Reads the text of `/proc/kallsyms`, or of a `System.map`.
///
/// The text does not say where the memory of modules ends. For those of which `regions` does, symbols
/// end where they do in the kernel; see [`End::Page`](crate::End::Page) for the others.
///
/// # Errors
/// [`KallsymsError`].
pub fn parse<'d>(
    text: impl Into<Cow<'d, [u8]>>,
    regions: &[ModuleRegions],
) -> Result<Table<'d>, KallsymsError> {
    let text = text.into();
    let bytes = text.len();
    if u32::try_from(bytes).is_err() {
        return Err(KallsymsError::TooLarge { bytes });
    }
    let mut builder = Builder::new(Ending::Blank, bytes / TYPICAL_LINE_BYTES);
    let mut objects = Objects::new(&mut builder);
    let mut bounds = Bounds::default();
    let mut any_address = 0;
    let (mut offset, mut number) = (0, 0_usize);
    while offset < bytes {
        let line = Line::read(&text, offset, objects.last())
            .map_err(|what| bad_line(&text, number, offset, what))?;
        let object = objects.of(&mut builder, line.module);
        if object == Objects::VMLINUX && line.name.first() == Some(&b'_') {
            bounds.see(line.name, line.addr);
        }
        any_address |= line.addr;
        let name = u32::try_from(line.name_at).unwrap_or(u32::MAX);
        if !builder.push_line(line.addr, line.kind, name, line.name) {
            return Err(KallsymsError::TooLarge { bytes });
        }
        number = number.saturating_add(1);
        offset = line.end;
    }
    match (number, any_address) {
        (0, _) => return Err(KallsymsError::Empty { bytes }),
        (symbols, 0) => return Err(KallsymsError::Restricted { symbols }),
        _ => {}
    }
    for region in bounds.regions() {
        builder.region(Objects::VMLINUX, region);
    }
    for module in regions {
        if let Some(object) = objects.module(&module.module) {
            for region in &module.regions {
                builder.region(object, *region);
            }
        }
    }
    Ok(builder.finish(text))
}

#[cold]
fn bad_line(text: &[u8], number: usize, offset: usize, what: &'static str) -> KallsymsError {
    const SHOWN: usize = 60;
    let line = text.get(offset..).unwrap_or_default();
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let shown = line.get(..SHOWN).unwrap_or(line);
    KallsymsError::Line {
        line: number.saturating_add(1),
        offset,
        what,
        found: alloc::format!("{}", shown.escape_ascii()),
    }
}

#[cfg(test)]
mod tests;
