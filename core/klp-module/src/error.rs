//! What can go wrong.

use alloc::string::String;

use klp_abi::NameError;
use klp_diff::Ambiguous;

/// A module that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The ELF file cannot be written: it has too many names.
    #[error("write the ELF file: {0}")]
    Write(object::write::Error),
    /// It is not known which symbol of the running kernel is meant.
    #[error("look up {name} in {object}: {source}")]
    Position {
        /// Name of the symbol.
        name: String,
        /// Where it is looked up.
        object: String,
        /// Why not.
        source: Ambiguous,
    },
    /// A name that the livepatch core would read differently.
    #[error("name {symbol} of {object} for the livepatch core: {source}")]
    Name {
        /// Name of the symbol, function or section.
        symbol: String,
        /// Name of its object.
        object: String,
        /// Why not.
        source: NameError,
    },
    /// Copied bytes refer to something that is not copied: a fault of the plan.
    #[error("relocate {section}+{offset:#x}: what it refers to is not copied")]
    NotCopied {
        /// Section of the reference.
        section: String,
        /// Offset in it.
        offset: u64,
    },
    /// An alignment that no kernel has.
    #[error("align {section} to {align:#x}: a power of two up to 2 MiB is expected")]
    Align {
        /// Name of the section.
        section: String,
        /// `sh_addralign`.
        align: u64,
    },
    /// A piece is not in its section.
    #[error("copy {section}+{start:#x}..{end:#x}: the section has {size:#x} bytes")]
    Outside {
        /// Name of the section.
        section: String,
        /// First offset.
        start: u64,
        /// One past the last.
        end: u64,
        /// Bytes of the section.
        size: u64,
    },
    /// An instruction with a constant of the running kernel that cannot be made to read it.
    #[error(
        "rewrite the instruction at {section}+{offset:#x}: its bytes are {found:02x?}, expected {expected}"
    )]
    RuntimeConstant {
        /// Section of the instruction.
        section: String,
        /// Offset of the constant in it.
        offset: u64,
        /// Bytes found.
        found: [u8; 10],
        /// What is understood.
        expected: &'static str,
    },
    /// It is not known where the running kernel has a constant.
    #[error("find the constant of {section} in the linked kernel: no function that stays has it")]
    ConstantUnknown {
        /// Section that lists such constants.
        section: String,
    },
    /// Nothing is to be patched.
    #[error("make a module: no function changed")]
    Nothing,
}
