//! Sorts addresses of symbols.
//!
//! Symbols of vmlinux come sorted, and in front. Those of modules are in many short runs, which a sort by comparison makes
//! little use of; but they are within a few hundred megabytes, and sorted by a few digits.

use crate::address_index::Key;

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// For fewer keys, or ones farther apart, comparing is faster.
const LEAST: usize = 4096;
const MOST_BITS: u32 = 4 * DIGIT_BITS;

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
fn by_digits(keys: &mut [Key]) {
    let least = keys.iter().map(|key| key.addr).min().unwrap_or(0);
    let most = keys.iter().map(|key| key.addr).max().unwrap_or(0);
    let bits = u64::BITS.saturating_sub(most.wrapping_sub(least).leading_zeros());
    if bits > MOST_BITS {
        return;
    }
    let mut other = keys.to_vec();
    // An even number of passes ends where it began.
    for pass in 0..bits.div_ceil(DIGIT_BITS).next_multiple_of(2) {
        let shift = pass.saturating_mul(DIGIT_BITS);
        let digit = |key: &Key| {
            let digit = key.addr.wrapping_sub(least).checked_shr(shift);
            usize::try_from(digit.unwrap_or(0)).unwrap_or(0) & DIGITS.wrapping_sub(1)
        };
        if pass.is_multiple_of(2) {
            distribute(keys, &mut other, digit);
        } else {
            distribute(&other, keys, digit);
        }
    }
}

/// Puts keys in the order of a digit, those of one digit in their order.
fn distribute(from: &[Key], to: &mut [Key], digit_fn: impl Fn(&Key) -> usize) {
    let mut places = [0_usize; DIGITS];
    for key in from {
        if let Some(count) = places.get_mut(digit_fn(key)) {
            *count = count.saturating_add(1);
        }
    }
    let mut next = 0_usize;
    for place in &mut places {
        next = next.saturating_add(core::mem::replace(place, next));
    }
    for key in from {
        if let Some(place) = places.get_mut(digit_fn(key)) {
            if let Some(target) = to.get_mut(*place) {
                *target = *key;
            }
            *place = place.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

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
