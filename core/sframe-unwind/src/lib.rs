//! SFrame, the stack trace format of GNU binutils: how a caller's frame is found from any instruction.
//!
//! # Words
//!
//! A *function descriptor entry* (FDE) covers the instructions of a function. It has *frame row entries* (FRE),
//! each good from its start to the next one's. A row says where the *canonical frame address* (CFA) is, the
//! value of the stack pointer in the caller before the call, and from it where the *return address* (RA) and
//! the caller's *frame pointer* (FP) are.
//!
//! # Parts
//!
//! | Part | What it does | Needs |
//! |---|---|---|
//! | [`Section`] | reads versions 1, 2 and 3, both byte orders, in place; [`Section::find`] | – |
//! | [`verify()`] | says everything that is wrong, by a [`Policy`] | – |
//! | [`Dump`] | the text of `objdump --sframe` | – |
//! | [`unwind`] | finds callers and says whether to rely on them | – |
//! | [`Compiled`] | one flat table of one or many sections, for speed | `alloc` |
//! | [`mod@write`] | writes, sorts, merges, converts between versions | `alloc` |
//!
//! A section is an allegation: nothing in it can make this crate panic or read outside of it, and what
//! contradicts itself is an error or a missing row, never a guess.
//!
//! ```
//! # fn main() -> Result<(), sframe_unwind::ParseError> {
//! # let bytes = include_bytes!("../testdata/sections/v3-aarch64.sframe");
//! use sframe_unwind::{Base, CfaRule, Placement, Section, Unwind};
//!
//! let section = Section::parse(bytes, Placement { section_addr: 0x118f8 })?;
//! let found = section.find(0x35c).expect("well-formed").expect("covered");
//! let Unwind::Caller(rules) = found.row.unwind else { panic!("has a caller") };
//! assert_eq!(rules.cfa, CfaRule::Offset { base: Base::Sp, offset: 32 });
//! # Ok(())
//! # }
//! ```
//!
//! Facts are from the specification of SFrame versions 1 to 3 and what binutils 2.40, 2.44 and 2.47.50 write.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod abi;
mod bytes;
#[cfg(feature = "alloc")]
mod compiled;
mod dump;
mod error;
mod fde;
mod fre;
mod header;
mod rule;
mod search;
mod section;
mod tables;
pub mod unwind;
pub mod verify;
#[cfg(feature = "alloc")]
pub mod write;

pub use abi::{Abi, Endian};
#[cfg(feature = "alloc")]
pub use compiled::Compiled;
pub use dump::Dump;
pub use error::{Malformed, MalformedKind, ParseError};
pub use fde::{AddrSize, Fde, FdeKind, PauthKey, PcType};
pub use fre::{Fre, Fres, Words};
pub use header::{Flags, Header, Version};
pub use rule::{Base, CfaRule, Recovery, Row, Rules, Unwind};
pub use section::{Found, Placement, Section};
pub use tables::{Cover, Tables};
pub use verify::{Policy, verify, verify_in_place};
