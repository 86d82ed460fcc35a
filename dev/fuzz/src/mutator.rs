//! Does damage.

use crate::rng::Rng;

/// Words that parsers get wrong.
const WORDS: [u64; 12] = [
    0,
    1,
    0xfff,
    0x1000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 52,
    1 << 63,
    i64::MAX.cast_unsigned(),
    u64::MAX - 4095,
    u64::MAX,
];

/// Makes damaged input of good input.
#[derive(Clone, Debug)]
pub struct Mutator {
    rng: Rng,
}

impl Mutator {
    /// The damage of this number: always the same.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
        }
    }

    /// One of several seeds.
    pub fn choose<'a>(&mut self, seeds: &'a [Vec<u8>]) -> &'a [u8] {
        let at = self.rng.below(seeds.len());
        seeds.get(at).map_or(&[], |seed| &**seed)
    }

    /// Damages `bytes` in one to six places.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.rng.below(6) {
            match self.rng.below(10) {
                0 => self.flip_bit(bytes),
                1 => self.set_byte(bytes),
                2..=4 => self.set_word(bytes),
                5..=7 => self.copy_word(bytes),
                8 => self.copy_chunk(bytes),
                _ => self.change_length(bytes),
            }
        }
    }

    fn flip_bit(&mut self, bytes: &mut [u8]) {
        let at = self.rng.below(bytes.len());
        let bit = self.rng.below(8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    fn set_byte(&mut self, bytes: &mut [u8]) {
        let at = self.rng.below(bytes.len());
        let [value, ..] = self.rng.next().to_le_bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
    }

    fn set_word(&mut self, bytes: &mut [u8]) {
        let word = WORDS.get(self.rng.below(WORDS.len())).copied().unwrap_or(0);
        let width = [2, 4, 8].get(self.rng.below(3)).copied().unwrap_or(8);
        let at = self.rng.below(bytes.len()) & !7;
        let value = if self.rng.below(2) == 0 {
            word.to_le_bytes()
        } else {
            word.to_be_bytes()
        };
        for (to, from) in bytes.iter_mut().skip(at).zip(value).take(width) {
            *to = from;
        }
    }

    /// A word from elsewhere, perhaps a little off: addresses and counts that mean something.
    fn copy_word(&mut self, bytes: &mut [u8]) {
        let from = self.rng.below(bytes.len()) & !7;
        let to = self.rng.below(bytes.len()) & !7;
        let Some(word) = bytes.get(from..).and_then(|rest| rest.first_chunk::<8>()) else {
            return;
        };
        let off = [0, 0, 1, u64::MAX, 0x1000, 8];
        let off = off.get(self.rng.below(off.len())).copied().unwrap_or(0);
        let word = u64::from_le_bytes(*word).wrapping_add(off).to_le_bytes();
        if let Some(place) = bytes
            .get_mut(to..)
            .and_then(|rest| rest.first_chunk_mut::<8>())
        {
            *place = word;
        }
    }

    fn copy_chunk(&mut self, bytes: &mut [u8]) {
        let length = 1 + self.rng.below(64.min(bytes.len()));
        let last = bytes.len().saturating_sub(length);
        let (from, to) = (self.rng.below(last + 1), self.rng.below(last + 1));
        if from + length <= bytes.len() {
            bytes.copy_within(from..from + length, to);
        }
    }

    fn change_length(&mut self, bytes: &mut Vec<u8>) {
        // Rarely: what is cut off is not looked at.
        if self.rng.below(4) == 0 {
            let length = self.rng.below(bytes.len() + 1);
            bytes.truncate(length);
        }
    }
}
