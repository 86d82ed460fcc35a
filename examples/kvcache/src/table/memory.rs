//! An arena for tests: plain memory that can refuse stores after a number of them, as if the
//! process had been killed there.

use core::cell::Cell;
use std::rc::Rc;

use memmap_sys::OutOfRange;

use crate::arena::Arena;

/// Memory that outlives the table in it; clones are the same memory.
#[derive(Clone)]
pub(super) struct Memory {
    words: Rc<Vec<Cell<u64>>>,
    /// Word stores left before the "kill".
    pub(super) budget: Rc<Cell<u64>>,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            words: Rc::new(vec![Cell::new(0); bytes / 8]),
            budget: Rc::new(Cell::new(u64::MAX)),
        }
    }

    /// The same content, apart from this memory.
    pub(super) fn copy(&self) -> Self {
        Self {
            words: Rc::new(self.words.to_vec()),
            budget: Rc::new(Cell::new(u64::MAX)),
        }
    }

    /// Changes a word behind everybody's back.
    pub(super) fn poke(&self, offset: u64, value: u64) {
        self.words[usize::try_from(offset / 8).unwrap()].set(value);
    }

    fn word(&self, offset: u64) -> Result<&Cell<u64>, OutOfRange> {
        let index = usize::try_from(offset / 8).ok();
        let word = index.filter(|_| offset.is_multiple_of(8));
        word.and_then(|index| self.words.get(index))
            .ok_or(OutOfRange {
                offset,
                len: 8,
                mapped: self.len(),
            })
    }
}

impl Arena for Memory {
    fn len(&self) -> u64 {
        u64::try_from(self.words.len() * 8).unwrap()
    }

    fn load(&self, offset: u64) -> Result<u64, OutOfRange> {
        self.word(offset).map(Cell::get)
    }

    fn store(&self, offset: u64, value: u64) -> Result<(), OutOfRange> {
        let word = self.word(offset)?;
        let Some(left) = self.budget.get().checked_sub(1) else {
            return Err(OutOfRange {
                offset,
                len: 0,
                mapped: 0,
            });
        };
        self.budget.set(left);
        word.set(value);
        Ok(())
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        for (chunk, at) in bytes.chunks_mut(8).zip((offset..).step_by(8)) {
            let word = self.load(at)?.to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        for (chunk, at) in bytes.chunks(8).zip((offset..).step_by(8)) {
            let mut word = self.load(at)?.to_ne_bytes();
            word[..chunk.len()].copy_from_slice(chunk);
            self.store(at, u64::from_ne_bytes(word))?;
        }
        Ok(())
    }
}
