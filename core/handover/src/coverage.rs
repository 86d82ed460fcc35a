//! Which pages are in some block already: finds blocks that overlap.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// Pages of one bitmap: 128 MiB of 4 KiB pages.
const CHUNK_PAGES_LOG2: u32 = 15;
const CHUNK_WORDS: usize = 512;

/// A set of page frames: intervals for large blocks, bitmaps for the rest.
///
/// Takes 4 KiB for each 128 MiB that small blocks are in.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// First frame, and the one behind the last.
    large: BTreeMap<u64, u64>,
    chunks: BTreeMap<u64, Box<[u64; CHUNK_WORDS]>>,
}

impl Coverage {
    /// Adds 2^order frames from `pfn`, a multiple of them; whether none was there. Larger blocks
    /// are to be added before smaller ones.
    pub(crate) fn add(&mut self, pfn: u64, order: u32) -> bool {
        let frames = 1_u64.checked_shl(order).unwrap_or(u64::MAX);
        let end = pfn.saturating_add(frames);
        let before = self.large.range(..end).next_back();
        let mut is_new = before.is_none_or(|(_, &before_end)| before_end <= pfn);
        if order >= CHUNK_PAGES_LOG2 {
            if is_new {
                self.large.insert(pfn, end);
            }
            return is_new;
        }
        let chunk = self.chunks.entry(pfn >> CHUNK_PAGES_LOG2);
        let chunk = chunk.or_insert_with(|| Box::new([0; CHUNK_WORDS]));
        for (word, mask) in words(pfn, order) {
            let Some(word) = chunk.get_mut(word) else {
                continue;
            };
            is_new &= *word & mask == 0;
            *word |= mask;
        }
        is_new
    }

    /// Adds single frames from `pfn` on, a bit for each, if none of them was there and no block of
    /// two frames or more is near; whether they were added.
    pub(crate) fn add_all(&mut self, pfn: u64, bitmap: &[u64]) -> bool {
        let end = u64::try_from(bitmap.len())
            .unwrap_or(u64::MAX)
            .saturating_mul(64);
        let end = pfn.saturating_add(end);
        let before = self.large.range(..end).next_back();
        let mut chunks = bitmap.chunks_exact(CHUNK_WORDS);
        let is_whole = pfn.trailing_zeros() >= CHUNK_PAGES_LOG2 && chunks.remainder().is_empty();
        if !is_whole || before.is_some_and(|(_, &before_end)| before_end > pfn) {
            return false;
        }
        let first = pfn >> CHUNK_PAGES_LOG2;
        let last = end >> CHUNK_PAGES_LOG2;
        if self.chunks.range(first..last).next().is_some() {
            return false;
        }
        for (chunk, words) in (first..last).zip(&mut chunks) {
            if let Ok(words) = words.try_into() {
                self.chunks.insert(chunk, Box::new(words));
            }
        }
        true
    }

    /// Whether a frame is in the set.
    pub(crate) fn contains(&self, pfn: u64) -> bool {
        let before = self.large.range(..=pfn).next_back();
        if before.is_some_and(|(_, &end)| pfn < end) {
            return true;
        }
        let chunk = self.chunks.get(&(pfn >> CHUNK_PAGES_LOG2));
        let mut place = words(pfn, 0);
        let word = place
            .next()
            .and_then(|(word, mask)| Some(chunk?.get(word)? & mask));
        word.is_some_and(|word| word != 0)
    }
}

/// Words of a chunk's bitmap that 2^order frames are in, with their bits.
fn words(pfn: u64, order: u32) -> impl Iterator<Item = (usize, u64)> {
    let in_chunk = pfn & 0x7fff;
    let first = usize::try_from(in_chunk >> 6).unwrap_or(usize::MAX);
    let (count, mask) = match order.checked_sub(6) {
        Some(more) => (1_usize.checked_shl(more).unwrap_or(0), u64::MAX),
        None => {
            let bits = 1_u32.wrapping_shl(order);
            let low = u64::MAX.wrapping_shr(64_u32.saturating_sub(bits));
            let at = u32::try_from(in_chunk & 63).unwrap_or(0);
            (1, low.wrapping_shl(at))
        }
    };
    (first..first.saturating_add(count)).map(move |word| (word, mask))
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    const FRAMES: usize = 0x2_0000;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_is_a_set_of_frames(
            mut blocks in proptest::collection::vec((0..FRAMES, 0..17_u32), 0..40)
        ) {
            blocks.sort_by_key(|&(_, order)| core::cmp::Reverse(order));
            let mut coverage = Coverage::default();
            let mut frames = vec![false; FRAMES];
            for (at, order) in blocks {
                let pfn = at >> order << order;
                let block = &mut frames[pfn..pfn + (1 << order)];
                let is_new = !block.contains(&true);
                prop_assert_eq!(coverage.add(pfn as u64, order), is_new);
                block.fill(true);
            }
            for (pfn, &is_there) in frames.iter().enumerate().step_by(7) {
                prop_assert_eq!(coverage.contains(pfn as u64), is_there);
            }
        }
    }
}
