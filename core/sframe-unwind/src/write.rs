//! Writes sections: sorted, merged, in another version.
//!
//! A [`Draft`] has functions with rules, whatever version they came from. What a version cannot say is an error
//! that names the function: data that is silently less than it was is worse than none.

use alloc::string::String;
use alloc::vec::Vec;

use crate::abi::Abi;
use crate::error::Malformed;
use crate::fde::{FdeKind, PauthKey, PcType};
use crate::header::{Flags, Version};
use crate::rule::{Row, Unwind};
use crate::section::Section;

mod encode;
mod error;

pub use error::{Unrepresentable, Why};

/// A function with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, for messages.
    pub name: Option<String>,
    /// Address of the first instruction.
    pub start: u64,
    /// Bytes of code.
    pub size: u32,
    /// What starts of rows count from.
    pub pc_type: PcType,
    /// Bytes of a repeated block.
    pub rep_size: u8,
    /// What signs its return addresses.
    pub key: PauthKey,
    /// Whether it is the trampoline of a signal frame.
    pub is_signal_frame: bool,
    /// Flexible when it is to be so even if its rows do not need it.
    pub kind: FdeKind,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Version.
    pub version: Version,
    /// What start addresses count from.
    pub starts: Starts,
    /// Where the section will be.
    pub section_addr: u64,
}

/// What start addresses count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// From the section.
    Section,
    /// From the field itself: versions 2 (binutils 2.45) and 3.
    Field,
}

/// Functions that are to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    abi: Abi,
    functions: Vec<Function>,
}

impl Draft {
    /// Of no functions.
    #[must_use]
    pub const fn new(abi: Abi) -> Self {
        Self {
            abi,
            functions: Vec::new(),
        }
    }

    /// Of what a section has.
    ///
    /// # Errors
    /// A function contradicts itself.
    pub fn read(section: &Section<'_>) -> Result<Self, Malformed> {
        let mut draft = Self::new(section.header().abi);
        let is_v3 = section.header().version == Version::V3;
        for fde in section.fdes_with_rows() {
            let fde = fde?;
            let mut rows = section.rows(&fde).collect::<Result<Vec<_>, _>>()?;
            // Only version 3 knows no rows for what has no caller.
            if is_v3 && fde.is_outermost() {
                rows.push(Row {
                    start: 0,
                    unwind: Unwind::Outermost,
                });
            }
            draft.functions.push(Function {
                name: None,
                start: fde.start,
                size: fde.size,
                pc_type: fde.pc_type,
                rep_size: fde.rep_size,
                key: fde.key,
                is_signal_frame: fde.is_signal_frame,
                kind: fde.kind,
                rows,
            });
        }
        Ok(draft)
    }

    /// Its processor.
    #[must_use]
    pub const fn abi(&self) -> Abi {
        self.abi
    }

    /// The functions.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The functions, to be changed.
    pub const fn functions_mut(&mut self) -> &mut Vec<Function> {
        &mut self.functions
    }

    /// Gives names to functions, by the address of their first instruction.
    pub fn name(&mut self, mut name_fn: impl FnMut(u64) -> Option<String>) {
        for function in &mut self.functions {
            function.name = name_fn(function.start);
        }
    }

    /// Orders functions by address. Those at the same address keep their order.
    pub fn sort(&mut self) {
        self.functions.sort_by_key(|function| function.start);
    }

    /// Whether functions ascend by address.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.functions.is_sorted_by_key(|function| function.start)
    }

    /// Adds the functions of another draft; a function that is there already, as COMDAT groups and repeated
    /// inputs make them, is not added twice.
    ///
    /// # Errors
    /// It is for another processor.
    pub fn merge(&mut self, other: Self) -> Result<(), Unrepresentable> {
        if other.abi != self.abi {
            return Err(Unrepresentable::of_abi(self.abi, other.abi));
        }
        self.functions.extend(other.functions);
        self.sort();
        self.functions.dedup_by(|next, kept| {
            (next.start, next.size, &next.rows) == (kept.start, kept.size, &kept.rows)
        });
        Ok(())
    }

    /// The bytes of a section. It says that it is sorted when it is.
    ///
    /// # Errors
    /// The first function that cannot be said in this format, and why.
    pub fn write(&self, format: &Format) -> Result<Vec<u8>, Unrepresentable> {
        encode::section(self, format)
    }

    fn flags(&self, format: &Format) -> Flags {
        let sorted = if self.is_sorted() {
            Flags::SORTED
        } else {
            Flags::default()
        };
        match format.starts {
            Starts::Section => sorted,
            Starts::Field => sorted.union(Flags::PCREL),
        }
    }
}
