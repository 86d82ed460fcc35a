//! Recordings played back: memory at each instruction.

use std::ops::Range;

use crate::machine::{Called, Machine};
use crate::recording::{Moment, Recording};

/// Memory of a program at an instruction.
#[derive(Clone, Debug)]
pub struct Memory<'a> {
    /// Its processor.
    pub machine: Machine,
    /// Lowest address of the stack.
    pub stack_addr: u64,
    /// The stack.
    pub stack: Vec<u8>,
    /// Addresses of its code.
    pub text: Range<u64>,
    code: &'a [u8],
}

impl Memory<'_> {
    /// Addresses of the stack.
    #[must_use]
    pub fn stack_range(&self) -> Range<u64> {
        let len = u64::try_from(self.stack.len()).unwrap_or(u64::MAX);
        self.stack_addr..self.stack_addr.saturating_add(len)
    }

    /// A word of the stack.
    #[must_use]
    pub fn read(&self, addr: u64) -> Option<u64> {
        let bytes = self.stack.get(self.index(addr)?..)?.first_chunk()?;
        Some(self.machine.word(*bytes))
    }

    /// Changes a word of the stack; elsewhere nothing.
    pub fn write(&mut self, addr: u64, word: u64) {
        let bytes = match self.machine {
            Machine::S390x => word.to_be_bytes(),
            Machine::Aarch64 | Machine::X86_64 => word.to_le_bytes(),
        };
        let index = self.index(addr);
        let place = index.and_then(|at| self.stack.get_mut(at..)?.first_chunk_mut());
        if let Some(place) = place {
            *place = bytes;
        }
    }

    /// What the instruction in front of an address calls.
    #[must_use]
    pub fn call_before(&self, ra: u64) -> Option<Called> {
        let len = usize::try_from(ra.checked_sub(self.text.start)?).ok()?;
        self.machine.call_before(self.code.get(..len)?, ra)
    }

    fn index(&self, addr: u64) -> Option<usize> {
        usize::try_from(addr.checked_sub(self.stack_addr)?).ok()
    }
}

impl Recording {
    /// Gives each instruction with the memory at it.
    pub fn play<'a>(&'a self, mut moment_fn: impl FnMut(&'a Moment, &Memory<'a>)) {
        let len = u64::try_from(self.text.len()).unwrap_or(u64::MAX);
        let mut memory = Memory {
            machine: self.machine,
            stack_addr: self.stack_addr,
            stack: self.stack.clone(),
            text: self.text_addr..self.text_addr.saturating_add(len),
            code: &self.text,
        };
        for moment in &self.moments {
            for word in &moment.changes {
                let at = u64::from(word.at) * 8;
                memory.write(
                    self.stack_addr.wrapping_add(at),
                    self.machine.word(word.bytes),
                );
            }
            moment_fn(moment, &memory);
        }
    }
}
