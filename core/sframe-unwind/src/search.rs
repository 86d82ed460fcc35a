//! Finds a place among numbers that ascend.
//!
//! Functions lie about evenly in code, so a guess by proportion is near, and what is near it is in the same few cache
//! lines. From there the way is doubled until it is too far, then halved: never more than twice the steps of
//! halving alone, however functions lie. Of few functions halving alone is faster.

/// So few numbers that halving alone is faster than a guess.
const FEW: u32 = 4096;
/// How far from the guess the search begins.
const FIRST_STRIDE: u32 = 8;

/// The last of `count` numbers that is `wanted` or less; `None` when the first is more. Of numbers that do not ascend,
/// any, or none.
#[inline]
pub(crate) fn last_at_or_before(
    count: u32,
    wanted: i64,
    number_fn: impl Fn(u32) -> Option<i64>,
) -> Option<u32> {
    let end = count.checked_sub(1)?;
    let (first, last) = (number_fn(0)?, number_fn(end)?);
    if wanted < first {
        return None;
    }
    if wanted >= last {
        return Some(end);
    }
    // From here on: number(low) <= wanted < number(high).
    let (mut low, mut high) = (0, end);
    if count > FEW {
        (low, high) = near_guess(
            wanted,
            last.wrapping_sub(first),
            wanted.wrapping_sub(first),
            end,
            &number_fn,
        )?;
    }
    while high.wrapping_sub(low) > 1 {
        let middle = low.midpoint(high);
        // Without a branch: what a comparison comes to cannot be predicted.
        let is_before = number_fn(middle)? <= wanted;
        low = if is_before { middle } else { low };
        high = if is_before { high } else { middle };
    }
    Some(low)
}

/// Numbers around a guess between which `wanted` is: that at the first is `wanted` or less, that at the second more.
fn near_guess(
    wanted: i64,
    whole: i64,
    part: i64,
    end: u32,
    number_fn: &impl Fn(u32) -> Option<i64>,
) -> Option<(u32, u32)> {
    let (mut low, mut high) = (0, end);
    let guess = proportion(part, whole, end);
    let mut stride = FIRST_STRIDE;
    if number_fn(guess)? <= wanted {
        low = guess;
        loop {
            let probe = low.saturating_add(stride);
            if probe >= high {
                return Some((low, high));
            }
            if number_fn(probe)? > wanted {
                return Some((low, probe));
            }
            low = probe;
            stride = stride.saturating_mul(2);
        }
    }
    high = guess;
    loop {
        let probe = high.saturating_sub(stride);
        if probe <= low {
            return Some((low, high));
        }
        if number_fn(probe)? <= wanted {
            return Some((probe, high));
        }
        high = probe;
        stride = stride.saturating_mul(2);
    }
}

/// `end * part / whole`, near enough, for `0 <= part < whole` as numbers without sign.
fn proportion(part: i64, whole: i64, end: u32) -> u32 {
    let (part, whole) = (part.cast_unsigned(), whole.cast_unsigned());
    // Down to 32 bits, so that the product has room.
    let shift = u64::BITS
        .wrapping_sub(whole.leading_zeros())
        .saturating_sub(u32::BITS);
    let product = (part >> shift).wrapping_mul(u64::from(end));
    let guess = product.checked_div(whole >> shift).unwrap_or(0);
    u32::try_from(guess).unwrap_or(end).min(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the numbers lie, also at the ends of what there is.
        #[test]
        fn it_is_what_a_partition_says(
            mut numbers in prop::collection::vec(prop_oneof![
                any::<i64>(), 0..1000_i64, Just(i64::MIN), Just(i64::MAX)
            ], 0..300),
            repeats in prop_oneof![Just(1_usize), Just(40)],
            more in any::<i64>(),
        ) {
            // Enough for a guess to be made.
            numbers = numbers.repeat(repeats);
            numbers.sort_unstable();
            let wanted = numbers.iter().flat_map(|number| [
                *number, number.saturating_sub(1), number.saturating_add(1)
            ]);
            for wanted in wanted.chain([more, 0]) {
                let behind = numbers.partition_point(|number| *number <= wanted);
                let count = u32::try_from(numbers.len()).unwrap();
                let found = last_at_or_before(count, wanted, |at| {
                    numbers.get(usize::try_from(at).unwrap()).copied()
                });
                prop_assert_eq!(found.map(|at| usize::try_from(at).unwrap()), behind.checked_sub(1));
            }
        }
    }
}
