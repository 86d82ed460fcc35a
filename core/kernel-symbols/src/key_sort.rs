//! Sorts addresses of symbols.
//!
//! Symbols of vmlinux come sorted, and in front. Those of modules are in many short runs, which a sort by comparison makes
//! little use of; but they are within a few hundred megabytes, and sorted by a few digits.

use alloc::vec;
use alloc::vec::Vec;

use crate::address_index::Key;

/// Most bits of a digit: a pass more takes longer than places that do not fit in the nearest cache.
const DIGIT_BITS: u32 = 14;
const DIGITS: usize = 1 << DIGIT_BITS;
/// Digits of an address, which is no farther from the least than [`u32::MAX`].
const PASSES: u32 = 3;
/// For fewer keys, or ones farther apart, comparing is faster.
const LEAST: usize = 4096;

/// Sorts keys; those of one address stay in their order, which is that of the table, and marks are before symbols.
pub(crate) fn sort(keys: &mut [Key]) {
    let after = keys.iter().skip(1);
    let is_sorted = |(one, next): &(&Key, &Key)| one <= next;
    let sorted = keys
        .iter()
        .zip(after)
        .take_while(is_sorted)
        .count()
        .saturating_add(1);
    if let Some((_, rest)) = keys.split_at_mut_checked(sorted)
        && rest.len() >= LEAST
    {
        by_digits(rest);
    }
    // Now there are two runs at most, unless there were few or none, and this sort makes one of them.
    keys.sort();
}

/// Sorts by the address only, stably; leaves the keys as they are when they are too far apart.
///
/// What is moved about is the distance from the least address, with the number of the key below it: half of a key, and
/// all of them stay in the second cache.
fn by_digits(keys: &mut [Key]) {
    let (least, most) = keys.iter().fold((u64::MAX, 0), |(least, most), key| {
        (key.addr.min(least), key.addr.max(most))
    });
    if u32::try_from(most.wrapping_sub(least)).is_err() || u32::try_from(keys.len()).is_err() {
        return;
    }
    let bits = u64::BITS.saturating_sub(most.wrapping_sub(least).leading_zeros());
    let passes = bits.div_ceil(DIGIT_BITS).clamp(1, PASSES);
    let digit_bits = bits.div_ceil(passes);
    let packed = keys.iter().zip(0_u64..);
    let mut packed: Vec<u64> = packed
        .map(|(key, number)| key.addr.wrapping_sub(least) << 32 | number)
        .collect();
    let mut other = vec![0; packed.len()];
    for pass in 0..passes {
        let shift = u32::BITS.wrapping_add(pass.wrapping_mul(digit_bits));
        distribute(&packed, &mut other, shift, digit_bits);
        core::mem::swap(&mut packed, &mut other);
    }
    let from = keys.to_vec();
    for (key, packed) in keys.iter_mut().zip(packed) {
        let number = usize::try_from(packed & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        if let Some(from) = from.get(number) {
            *key = *from;
        }
    }
}

/// Puts words in the order of a digit, those of one digit in their order.
fn distribute(from: &[u64], to: &mut [u64], shift: u32, bits: u32) {
    let mask = (1_u64 << bits).wrapping_sub(1);
    let digit = |word: u64| usize::try_from(word >> shift & mask).unwrap_or(0) % DIGITS;
    let mut places = [0_u32; DIGITS];
    for &word in from {
        if let Some(count) = places.get_mut(digit(word)) {
            *count = count.wrapping_add(1);
        }
    }
    let mut next = 0_u32;
    for place in &mut places {
        next = next.wrapping_add(core::mem::replace(place, next));
    }
    for &word in from {
        if let Some(place) = places.get_mut(digit(word)) {
            if let Some(target) = to.get_mut(usize::try_from(*place).unwrap_or(usize::MAX)) {
                *target = word;
            }
            *place = place.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Kind;

    /// Addresses of a sorted part and of others, more than are sorted by comparison.
    fn keys(sorted: u32, others: &[u64], stride: u64) -> Vec<Key> {
        let kind = Kind::of_letter(b't');
        let head = (0..sorted).map(|at| Key::symbol(u64::from(at) * 16, at, 0, kind));
        let repeated = others.iter().cycle().take(LEAST + 100).zip(0..);
        let rest = repeated.map(|(addr, at): (_, u32)| {
            let addr = addr.wrapping_add(u64::from(at) % 97 * stride);
            Key::symbol(addr, sorted + at, 1, kind)
        });
        head.chain(rest).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn keys_are_sorted_as_by_comparison(
            sorted in 0..300_u32,
            near in prop::collection::vec(0..1_u64 << 34, 1..50),
            far in prop::collection::vec(any::<u64>(), 1..50),
            stride in 0..5_000_u64,
        ) {
            for others in [near, far] {
                let mut keys = keys(sorted, &others, stride);
                let mut expected = keys.clone();
                expected.sort();
                sort(&mut keys);
                prop_assert!(keys == expected);
            }
        }
    }
}
