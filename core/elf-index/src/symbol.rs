//! Symbols.

use core::fmt;

use object::elf::{self, SymbolBind, SymbolType};

use crate::section::SectionId;

/// Index of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(pub u32);

impl fmt::Display for SymbolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `STT_*`: what a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolKind(pub u8);

impl SymbolKind {
    /// No type.
    pub const NONE: Self = Self(elf::STT_NOTYPE.0);
    /// Data.
    pub const OBJECT: Self = Self(elf::STT_OBJECT.0);
    /// Code.
    pub const FUNC: Self = Self(elf::STT_FUNC.0);
    /// A section.
    pub const SECTION: Self = Self(elf::STT_SECTION.0);
    /// A source file.
    pub const FILE: Self = Self(elf::STT_FILE.0);

    /// The name without prefix, as `readelf` prints it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match SymbolType(self.0) {
            elf::STT_NOTYPE => "NOTYPE",
            elf::STT_OBJECT => "OBJECT",
            elf::STT_FUNC => "FUNC",
            elf::STT_SECTION => "SECTION",
            elf::STT_FILE => "FILE",
            elf::STT_COMMON => "COMMON",
            elf::STT_TLS => "TLS",
            elf::STT_GNU_IFUNC => "IFUNC",
            _ => return None,
        })
    }
}

/// `STB_*`: who sees a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding(pub u8);

impl Binding {
    /// Seen in its own file only.
    pub const LOCAL: Self = Self(elf::STB_LOCAL.0);
    /// Seen everywhere.
    pub const GLOBAL: Self = Self(elf::STB_GLOBAL.0);
    /// Seen everywhere, and may be replaced or missing.
    pub const WEAK: Self = Self(elf::STB_WEAK.0);

    /// The name without prefix, as `readelf` prints it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match SymbolBind(self.0) {
            elf::STB_LOCAL => "LOCAL",
            elf::STB_GLOBAL => "GLOBAL",
            elf::STB_WEAK => "WEAK",
            elf::STB_GNU_UNIQUE => "UNIQUE",
            _ => return None,
        })
    }
}

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SymbolPlace {
    /// In another file.
    Undefined,
    /// Nowhere: its value is a number.
    Absolute,
    /// In a section.
    Section(SectionId),
    /// In what a reserved section number means: `SHN_COMMON`, `SHN_LIVEPATCH`.
    Reserved(u16),
}

impl SymbolPlace {
    /// The section, of a symbol that is in one.
    #[must_use]
    #[inline]
    pub const fn section(self) -> Option<SectionId> {
        match self {
            Self::Section(section) => Some(section),
            Self::Undefined | Self::Absolute | Self::Reserved(_) => None,
        }
    }
}

/// A symbol with its name.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'d> {
    /// Name; empty for a section symbol of most assemblers.
    pub name: &'d str,
    /// `st_value`: in a relocatable file the offset in its section.
    pub value: u64,
    /// `st_size` in bytes.
    pub size: u64,
    /// Where it is.
    pub place: SymbolPlace,
    /// What it is.
    pub kind: SymbolKind,
    /// Who sees it in this file.
    pub binding: Binding,
    /// `st_other`: visibility, and bits of the architecture.
    pub other: u8,
}

impl Symbol<'_> {
    /// One past its last byte; saturates for a size that cannot be.
    #[must_use]
    #[inline]
    pub const fn end(&self) -> u64 {
        self.value.saturating_add(self.size)
    }

    /// Tells whether it is code.
    #[must_use]
    #[inline]
    pub fn is_func(&self) -> bool {
        self.kind == SymbolKind::FUNC
    }

    /// Tells whether it is data.
    #[must_use]
    #[inline]
    pub fn is_object(&self) -> bool {
        self.kind == SymbolKind::OBJECT
    }

    /// Tells whether it stands for a section.
    #[must_use]
    #[inline]
    pub fn is_section(&self) -> bool {
        self.kind == SymbolKind::SECTION
    }

    /// Tells whether it names a source file.
    #[must_use]
    #[inline]
    pub fn is_file(&self) -> bool {
        self.kind == SymbolKind::FILE
    }

    /// Tells whether only its own file sees it.
    #[must_use]
    #[inline]
    pub fn is_local(&self) -> bool {
        self.binding == Binding::LOCAL
    }
}
