//! What a section can be refused for, and what a function in it can.

use crate::header::Version;

/// A section that cannot be read. Completes "failed to read SFrame data".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It ends within its header.
    #[error("a header takes {need} bytes, there are {len}")]
    Truncated {
        /// Bytes of the header, with the auxiliary one.
        need: usize,
        /// Bytes there are.
        len: usize,
    },
    /// It does not begin with 0xdee2 in either byte order.
    #[error("magic number {found:#06x} is not 0xdee2")]
    Magic {
        /// What it begins with, as a little-endian word.
        found: u16,
    },
    /// A version this crate does not know.
    #[error("version {found} is none of 1, 2 and 3")]
    Version {
        /// The version.
        found: u8,
    },
    /// Flags that its version does not define.
    #[error("flags {found:#04x} are not all defined in version {}", version.raw())]
    Flags {
        /// The version.
        version: Version,
        /// All flags.
        found: u8,
    },
    /// A processor its version does not define.
    #[error("ABI {found} is not defined in version {}", version.raw())]
    Abi {
        /// The version.
        version: Version,
        /// `sfh_abi_arch`.
        found: u8,
    },
    /// Its processor has the other byte order.
    #[error("ABI {abi} is not of the byte order the magic number is in")]
    ByteOrder {
        /// `sfh_abi_arch`.
        abi: u8,
    },
    /// Function descriptors that are not within the section.
    #[error("{count} function descriptors at {offset:#x} do not fit in {len:#x} bytes")]
    FdesOutside {
        /// `sfh_num_fdes`.
        count: u32,
        /// `sfh_fdeoff`, from the end of the header.
        offset: u32,
        /// Bytes after the header.
        len: usize,
    },
    /// Frame rows that are not within the section.
    #[error("{rows_len:#x} bytes of rows at {offset:#x} do not fit in {len:#x} bytes")]
    FresOutside {
        /// `sfh_fre_len`.
        rows_len: u32,
        /// `sfh_freoff`, from the end of the header.
        offset: u32,
        /// Bytes after the header.
        len: usize,
    },
}

/// A function whose description contradicts itself. Completes "failed to read a row".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("function {fde}, byte {offset:#x} of the rows: {kind}")]
pub struct Malformed {
    /// Index of the function descriptor.
    pub fde: u32,
    /// Offset in the area of frame rows.
    pub offset: u32,
    /// What is wrong.
    pub kind: MalformedKind,
}

/// What is wrong with a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedKind {
    /// The attributes of a version 3 function are outside the area of rows.
    #[error("its attributes are outside the rows")]
    AttributesOutside,
    /// A row ends outside the area of rows.
    #[error("a row is outside the rows")]
    RowOutside,
    /// Bits for the size of start addresses that stand for none.
    #[error("start addresses of size code {0}")]
    AddrSize(u8),
    /// Bits for the size of words that stand for none.
    #[error("words of size code 3")]
    WordSize,
    /// A count of words that no rule has.
    #[error("{0} words")]
    WordCount(u8),
    /// A kind of descriptor that is neither default nor flexible.
    #[error("descriptor of type {0}")]
    FdeType(u8),
    /// Repeated code whose repetition takes no bytes.
    #[error("repeated code of 0 bytes")]
    RepSize,
    /// A CFA that is not given by a register.
    #[error("CFA control word {0:#x} names no register")]
    CfaControl(u32),
    /// A row that begins before the one in front of it.
    #[error("rows do not ascend")]
    RowOrder,
    /// More rows than there are bytes for: functions share them.
    #[error("with it there are more rows than fit")]
    SharedRows,
    /// A control word without its offset.
    #[error("a control word has no offset")]
    Unpaired,
}
