//! What a version of the format cannot say.

use alloc::string::{String, ToString as _};
use core::fmt;

use super::Function;
use crate::abi::Abi;
use crate::header::Version;

/// Something that cannot be written. Completes "failed to write SFrame data".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", Subject(self))]
pub struct Unrepresentable {
    /// Name of the function, or its address; `None` for the whole section.
    pub function: Option<String>,
    /// Why.
    pub why: Why,
}

/// Why something cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Sections of two processors do not go into one.
    #[error("sections of ABI {} and {} do not go together", .0.raw(), .1.raw())]
    TwoAbis(Abi, Abi),
    /// A version that does not know this processor.
    #[error("version {} has no ABI {}", .0.raw(), .1.raw())]
    Abi(Version, Abi),
    /// Version 1 has no start addresses that count from themselves.
    #[error("version 1 has no start addresses that count from their own field")]
    Starts,
    /// Offsets and counts are of 32 bits.
    #[error("more than 4 GiB")]
    TooLarge,
    /// A start address that does not fit.
    #[error("its start is {0:#x} bytes from what it counts from, out of 32 bits")]
    TooFar(i64),
    /// A count of rows that does not fit.
    #[error("{0} rows, version 3 has room for 65535")]
    TooManyRows(usize),
    /// A signal frame, which only version 3 knows.
    #[error("it is a signal frame, which only version 3 knows")]
    SignalFrame,
    /// A last frame, which version 1 does not know.
    #[error("its return address is undefined, which version 1 does not know")]
    Outermost,
    /// Repeated code whose repetition version 1 does not store.
    #[error("it repeats every {0} bytes, which version 1 does not store")]
    RepSize(u8),
    /// Rules that need a flexible descriptor.
    #[error("the row at {0:#x} needs a flexible descriptor, which only version 3 has")]
    Flexible(u32),
    /// Rules that not even a flexible descriptor has.
    #[error("the row at {0:#x} has rules that the format does not have")]
    Rule(u32),
    /// A CFA of s390x that is not a multiple of 8 bytes.
    #[error("the row at {0:#x} has a CFA offset of {1}, which is not a multiple of 8")]
    CfaScale(u32, i32),
    /// A row that begins behind the code of a repeated block or function.
    #[error("the row at {0:#x} does not fit in start addresses of its size")]
    RowStart(u32),
}

impl Unrepresentable {
    pub(super) const fn of_section(why: Why) -> Self {
        Self {
            function: None,
            why,
        }
    }

    pub(super) const fn of_abi(one: Abi, other: Abi) -> Self {
        Self::of_section(Why::TwoAbis(one, other))
    }

    pub(super) fn of(function: &Function, why: Why) -> Self {
        let name = function.name.clone();
        let name = name.unwrap_or_else(|| Addr(function.start).to_string());
        Self {
            function: Some(name),
            why,
        }
    }
}

struct Addr(u64);

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The beginning of the message.
struct Subject<'a>(&'a Unrepresentable);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.function {
            Some(function) => write!(f, "function {function}: "),
            None => Ok(()),
        }
    }
}
