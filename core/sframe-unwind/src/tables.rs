//! What an unwinder asks: the rules at an instruction.

use crate::error::Malformed;
use crate::rule::Unwind;
use crate::section::Section;

/// The rules at an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cover {
    /// How to get to the caller.
    pub unwind: Unwind,
    /// Whether the function is the trampoline of a signal frame: its caller was interrupted, not called from.
    pub is_signal_frame: bool,
}

/// Where rules are looked up.
pub trait Tables {
    /// The rules at an instruction; `None` when nothing covers it.
    ///
    /// # Errors
    /// What covers it contradicts itself.
    fn cover(&self, pc: u64) -> Result<Option<Cover>, Malformed>;
}

impl Tables for Section<'_> {
    fn cover(&self, pc: u64) -> Result<Option<Cover>, Malformed> {
        let found = self.find(pc)?;
        Ok(found.map(|found| Cover {
            unwind: found.row.unwind,
            is_signal_frame: found.fde.is_signal_frame,
        }))
    }
}

impl<T: Tables + ?Sized> Tables for &T {
    fn cover(&self, pc: u64) -> Result<Option<Cover>, Malformed> {
        (**self).cover(pc)
    }
}
