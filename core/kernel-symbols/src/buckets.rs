//! Where in a long sorted list an address is, nearly: one step instead of a search by halves.
//!
//! The addresses of a kernel are in a few *segments* (the kernel, modules, perhaps programs), and in each they are spread
//! so evenly that it can be divided into buckets of equal width, of which each has one or two addresses. Where they are not,
//! a bucket has many, and is searched by halves.

use alloc::vec::Vec;

/// Addresses in a bucket, at least, on average.
const PER_BUCKET: usize = 1;
/// Segments that are looked through one by one.
const SEGMENTS: usize = 16;
/// Free space that makes two segments of what is before and behind it.
const GAP_BYTES: u64 = 8 << 20;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buckets {
    /// First addresses of the segments, ascending.
    starts: Vec<u64>,
    segments: Vec<Segment>,
    /// For each bucket the position of the first address not below its start; behind those of a segment the position
    /// behind its last address.
    positions: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    start: u64,
    shift: u32,
    /// Its buckets in `positions`: the first, and the last.
    first: usize,
    last: usize,
}

impl Buckets {
    /// Buckets for ascending addresses.
    pub(crate) fn new(addrs: &[u64]) -> Self {
        let mut buckets = Self::default();
        let mut rest = addrs;
        let mut done = 0_usize;
        while !rest.is_empty() {
            let is_full = buckets.segments.len() >= SEGMENTS.saturating_sub(1);
            let count = if is_full {
                rest.len()
            } else {
                first_segment(rest)
            };
            let (segment, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            buckets.add(segment, done);
            done = done.saturating_add(segment.len());
            rest = behind;
        }
        buckets.positions.shrink_to_fit();
        buckets
    }

    fn add(&mut self, addrs: &[u64], before: usize) {
        let (Some(&start), Some(&end)) = (addrs.first(), addrs.last()) else {
            return;
        };
        let span = end.wrapping_sub(start);
        let most = u64::try_from(addrs.len() / PER_BUCKET).unwrap_or(0);
        let shift = (0..u64::BITS)
            .find(|&shift| span >> shift <= most)
            .unwrap_or(63);
        let first = self.positions.len();
        let mut bucket = 0;
        let position = |at: usize| u32::try_from(before.saturating_add(at)).unwrap_or(u32::MAX);
        for (at, addr) in addrs.iter().enumerate() {
            while bucket <= addr.wrapping_sub(start) >> shift {
                self.positions.push(position(at));
                bucket = bucket.saturating_add(1);
            }
        }
        let last = self.positions.len().saturating_sub(1);
        self.positions.push(position(addrs.len()));
        self.starts.push(start);
        self.segments.push(Segment {
            start,
            shift,
            first,
            last,
        });
    }

    /// The positions among which the first address above `addr` is, or which are all not above it: from the first to the
    /// one behind the last. `None` when all addresses are above.
    #[inline]
    pub(crate) fn range(&self, addr: u64) -> Option<(usize, usize)> {
        let segments = self.starts.iter().map(|&start| usize::from(start <= addr));
        let segment = segments.fold(0, usize::wrapping_add).checked_sub(1)?;
        let segment = self.segments.get(segment)?;
        let bucket = usize::try_from(addr.wrapping_sub(segment.start) >> segment.shift);
        let bucket = segment
            .first
            .saturating_add(bucket.unwrap_or(usize::MAX))
            .min(segment.last);
        let bounds = self.positions.get(bucket..)?.first_chunk::<2>()?;
        let [low, high] = bounds.map(|bound| usize::try_from(bound).unwrap_or(usize::MAX));
        Some((low, high))
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.positions.as_slice())
            .saturating_add(size_of_val(self.segments.as_slice()))
            .saturating_add(size_of_val(self.starts.as_slice()))
    }
}

/// How many addresses there are before the first large gap.
fn first_segment(addrs: &[u64]) -> usize {
    let gaps = addrs.iter().zip(addrs.iter().skip(1));
    let gap = gaps.take_while(|(one, next)| next.wrapping_sub(**one) < GAP_BYTES);
    gap.count().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_where_a_search_by_halves_finds_it(
            near in prop::collection::vec(0..200_000_u64, 0..200),
            far: Vec<u64>,
            asked: Vec<u64>,
        ) {
            let mut addrs: Vec<u64> = near.into_iter().map(|it| it + 0xffff_ffff_8100_0000).chain(far).collect();
            addrs.sort_unstable();
            let buckets = Buckets::new(&addrs);
            let around = addrs.iter().flat_map(|it| [it.wrapping_sub(1), *it, it.wrapping_add(1)]);
            for addr in around.chain(asked).chain([0, u64::MAX]) {
                let expected = addrs.partition_point(|&it| it <= addr);
                match buckets.range(addr) {
                    None => prop_assert_eq!(expected, 0),
                    Some((low, high)) => {
                        let found = low + addrs[low..high].partition_point(|&it| it <= addr);
                        prop_assert_eq!(found, expected, "{:x} of {:x?}", addr, addrs);
                        // What is behind the bucket is above the address.
                        prop_assert!(addrs.get(high).is_none_or(|&it| it > addr));
                    }
                }
            }
        }
    }

    #[test]
    fn buckets_are_few_whatever_the_addresses() {
        let spread: Vec<u64> = (0..1000).map(|at| at << 54).collect();
        let dense = std::vec![7; 1000];
        for addrs in [spread, dense] {
            assert!(Buckets::new(&addrs).positions.len() <= 1000 / PER_BUCKET + 2 * SEGMENTS + 2);
        }
    }
}
