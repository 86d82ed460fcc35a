//! Which memory is stack, and how much of it is left.

use core::ops::Range;

use super::Reason;

/// Most stacks a trace can go over: task, interrupt, overflow, SDEI and what may come.
const MOST: usize = 16;

/// Stacks, each left at most once and each read upwards only: so every trace ends.
#[derive(Clone, Debug)]
pub struct Stacks {
    ranges: [Range<u64>; MOST],
    /// Which one the trace is on; its range begins where it has not been.
    current: usize,
}

impl Stacks {
    /// Of these ranges; those past the 16th are not known. The trace is on none of them yet.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut all = [const { 0..0 }; MOST];
        for (place, range) in all.iter_mut().zip(ranges) {
            *place = range;
        }
        Self {
            ranges: all,
            current: MOST,
        }
    }

    /// The stack that has `len` bytes at `addr`, which the trace has not been past.
    fn find(&self, addr: u64, len: u64) -> Option<usize> {
        let end = addr.checked_add(len)?;
        let has = |range: &Range<u64>| range.start <= addr && end <= range.end && !range.is_empty();
        match self.ranges.get(self.current) {
            Some(current) if has(current) => Some(self.current),
            _ => self.ranges.iter().position(has),
        }
    }

    /// Whether `len` bytes at `addr` are on a stack.
    ///
    /// # Errors
    /// [`Reason::OutsideStack`].
    pub fn check(&self, addr: u64, len: u64) -> Result<(), Reason> {
        self.find(addr, len)
            .map(|_stack| ())
            .ok_or(Reason::OutsideStack { addr })
    }

    /// Goes past `len` bytes at `addr`, perhaps to another stack: then what is left of this one is gone.
    ///
    /// # Errors
    /// [`Reason::OutsideStack`].
    pub fn consume(&mut self, addr: u64, len: u64) -> Result<(), Reason> {
        let outside = Reason::OutsideStack { addr };
        let stack = self.find(addr, len).ok_or(outside)?;
        if stack != self.current {
            if let Some(left) = self.ranges.get_mut(self.current) {
                *left = 0..0;
            }
            self.current = stack;
        }
        let range = self.ranges.get_mut(stack).ok_or(outside)?;
        range.start = addr.checked_add(len).ok_or(outside)?;
        Ok(())
    }
}
