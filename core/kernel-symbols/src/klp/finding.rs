//! What a check of a livepatch module finds.

use alloc::string::String;
use core::fmt;

use super::names::KlpNameError;
use super::patched::RecordError;
use crate::module::Phase;
use crate::sympos::SymposError;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// The kernel takes it, perhaps for something else.
    Warning,
    /// The kernel refuses it, or does something else than is meant.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What is wrong with a livepatch module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// It is not marked as a livepatch.
    #[error(
        "the module is not marked as a livepatch (MODULE_INFO(livepatch, \"Y\")): klp_enable_patch() refuses it"
    )]
    NotMarked,
    /// The name of a symbol of livepatch.
    #[error("symbol {index}, {name}: {source}")]
    SymbolName {
        /// Number of the symbol.
        index: u32,
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: KlpNameError,
    },
    /// The name of a section.
    #[error("section {name}: {source}")]
    SectionName {
        /// Name of the section.
        name: String,
        /// What is wrong with it.
        source: KlpNameError,
    },
    /// A section that is named like one of livepatch and not marked.
    #[error(
        "section {name} lacks the flag SHF_RELA_LIVEPATCH: the module loader applies it as its own, with symbols that are not resolved"
    )]
    SectionNotMarked {
        /// Name of the section.
        name: String,
    },
    /// Relocations for nothing.
    #[error(
        "section {name} relocates section {target}, which is not in memory: the kernel passes over it"
    )]
    Target {
        /// Name of the section.
        name: String,
        /// `sh_info`.
        target: u32,
    },
    /// The section's name says something else than its header.
    #[error("section {name} relocates {target}, which its name does not say")]
    TargetName {
        /// Name of the section.
        name: String,
        /// Name of the relocated section.
        target: String,
    },
    /// A livepatch relocation of an ordinary symbol.
    #[error(
        "section {section}, relocation {entry}: symbol {symbol} ({name}) is not marked SHN_LIVEPATCH"
    )]
    NotLivepatchSymbol {
        /// Name of the section.
        section: String,
        /// Number of the relocation.
        entry: usize,
        /// Number of the symbol.
        symbol: u32,
        /// Its name.
        name: String,
    },
    /// An ordinary relocation of a livepatch symbol.
    #[error(
        "section {section}, at {offset:#x}: the module loader resolves {name} to 0, because only sections .klp.rela.* may name it"
    )]
    OrdinaryRelocation {
        /// Name of the section.
        section: String,
        /// Where in the relocated section.
        offset: u64,
        /// Name of the symbol.
        name: String,
    },
    /// A symbol of vmlinux where those of a module are.
    #[error(
        "section {section}: {name} is in vmlinux, and relocations for a module may not name it"
    )]
    VmlinuxSymbol {
        /// Name of the section.
        section: String,
        /// Name of the symbol.
        name: String,
    },
    /// The kernel will not find a symbol.
    #[error("{name} {}: failed to {source}", when(*.phase))]
    Sympos {
        /// Name of the symbol, as it is in the module.
        name: String,
        /// In this phase of the object.
        phase: Phase,
        /// Why not.
        source: SymposError,
    },
    /// The kernel finds one or another symbol.
    #[error(
        "{name} is symbol {live} of {object} when that is loaded before the patch, and symbol {loading} when it is loaded after"
    )]
    DependsOnOrder {
        /// Name of the symbol, as it is in the module.
        name: String,
        /// The object.
        object: String,
        /// Number of the symbol in the one case.
        live: u32,
        /// And in the other.
        loading: u32,
    },
    /// An object that was not given.
    #[error("{symbols} symbols of {object} are not checked: it was not given")]
    NotGiven {
        /// Name of the object.
        object: String,
        /// Symbols of it.
        symbols: usize,
    },
    /// The records of replaced functions.
    #[error("{0}")]
    Record(RecordError),
    /// The kernel will not find a function to replace.
    #[error("function {name} of {object} {}: failed to {source}", when(*.phase))]
    Function {
        /// Name of the function.
        name: String,
        /// Where it is.
        object: String,
        /// In this phase of the object.
        phase: Phase,
        /// Why not.
        source: SymposError,
    },
    /// What is to be replaced is no code.
    #[error(
        "function {name} of {object}: the symbol that the kernel finds is no code (type {letter})"
    )]
    NoCode {
        /// Name of the function.
        name: String,
        /// Where it is.
        object: String,
        /// Its type, as in `/proc/kallsyms`.
        letter: char,
    },
    /// The tracer cannot be called from a function.
    #[error(
        "function {name} of {object} has no place for the tracer (notrace, or built without it): klp_enable_patch() fails with EINVAL"
    )]
    NotTraceable {
        /// Name of the function.
        name: String,
        /// Where it is.
        object: String,
    },
    /// An object that was not given.
    #[error("{functions} replaced functions of {object} are not checked: it was not given")]
    FunctionsNotGiven {
        /// Name of the object.
        object: String,
        /// Functions of it.
        functions: usize,
    },
    /// The module does not say what it replaces.
    #[error(
        "which functions the module replaces is not checked: it has no section .init.klp_objects, as one written by hand"
    )]
    FunctionsNotRecorded,
    /// Records of relocations that were not made.
    #[error(
        "the module has records of livepatch relocations that were not made: run klp link on it"
    )]
    NotLinked,
    /// A symbol that nothing uses.
    #[error("{name} is in no livepatch relocation")]
    Unused {
        /// Name of the symbol.
        name: String,
    },
}

fn when(phase: Phase) -> &'static str {
    match phase {
        Phase::Live => "when its object is loaded before the patch",
        Phase::Loading => "when its object is loaded after the patch",
    }
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::NotGiven { .. }
            | Self::FunctionsNotGiven { .. }
            | Self::FunctionsNotRecorded
            | Self::Unused { .. } => Severity::Note,
            Self::TargetName { .. }
            | Self::DependsOnOrder { .. }
            | Self::SymbolName {
                source: KlpNameError::Trailing { .. },
                ..
            }
            | Self::SectionName {
                source: KlpNameError::Section,
                ..
            } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}
