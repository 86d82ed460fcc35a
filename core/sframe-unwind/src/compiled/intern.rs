//! Gives equal rules the same number.

use alloc::vec::Vec;
use core::hash::{Hash as _, Hasher};

use super::Rule;
use crate::bytes::index;

/// Rules, each once, with an open table of their numbers.
#[derive(Debug, Default)]
pub(super) struct Interner {
    rules: Vec<Rule>,
    /// Number + 1 of the rule in a slot; 0 in an empty one. A power of two, at most half full.
    slots: Vec<u32>,
}

impl Interner {
    /// The number of a rule.
    pub(super) fn number(&mut self, rule: Rule) -> u32 {
        if self.rules.len().saturating_mul(2) >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = slot_of(&rule) & mask;
        while let Some(slot) = self.slots.get(at).copied() {
            let Some(number) = slot.checked_sub(1) else {
                break;
            };
            if self.rules.get(index(number)) == Some(&rule) {
                return number;
            }
            at = at.wrapping_add(1) & mask;
        }
        let number = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        self.rules.push(rule);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = number.saturating_add(1);
        }
        number
    }

    pub(super) fn into_rules(self) -> Vec<Rule> {
        self.rules
    }

    fn grow(&mut self) {
        let len = self.slots.len().saturating_mul(2).max(64);
        let mask = len.wrapping_sub(1);
        self.slots.clear();
        self.slots.resize(len, 0);
        for (number, rule) in (1..).zip(&self.rules) {
            let mut at = slot_of(rule) & mask;
            while self.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = at.wrapping_add(1) & mask;
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = number;
            }
        }
    }
}

fn slot_of(rule: &Rule) -> usize {
    let mut hasher = Multiply(0);
    rule.hash(&mut hasher);
    usize::try_from(hasher.finish() >> 32).unwrap_or(0)
}

/// Multiplies and turns: rules are made by compilers, and a bad guess costs time only: a section has at most as
/// many rules as rows.
struct Multiply(u64);

impl Multiply {
    /// Multiplications are what takes time, each waits for the last: small words go without.
    fn turn(&mut self, word: u64) {
        self.0 = self.0.rotate_left(9) ^ word;
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Multiply {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.add(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.add(u64::from(word));
    }

    fn write_i32(&mut self, word: i32) {
        self.add(u64::from(word.cast_unsigned()));
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    /// Which variant of an enum: a few bits, which the next number multiplies on.
    fn write_isize(&mut self, word: isize) {
        self.turn(u64::try_from(word.cast_unsigned()).unwrap_or(0));
    }

    fn write_u8(&mut self, byte: u8) {
        self.turn(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The last words may have gone without.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
