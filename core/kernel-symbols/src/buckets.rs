//! Where in a long sorted list an address is, nearly: one step instead of a search by halves.
//!
//! The addresses of a kernel are in a few *segments* (the kernel, modules, perhaps programs), and in each they are spread
//! so evenly that it can be divided into buckets of equal width, of which each has some eight addresses. Where they are not,
//! a bucket has many, and is searched by halves. A segment is never wider than 4 GiB: within it an address is 32 bits.

use alloc::vec::Vec;

/// Addresses in a bucket, on average; the buckets of a table take half a byte for each of its symbols.
const PER_BUCKET: usize = 2;
/// Segments that are looked through one by one.
const FEW: usize = 16;
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

/// Addresses near each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    start: u64,
    shift: u32,
    /// Its buckets in `positions`: the first, and the last.
    first: usize,
    last: usize,
    /// The position of its first address, and the one behind its last.
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

impl Segment {
    /// An address as it is in this segment: its distance from the first one, or the farthest there is.
    #[inline]
    pub(crate) fn offset(self, addr: u64) -> u32 {
        u32::try_from(addr.wrapping_sub(self.start)).unwrap_or(u32::MAX)
    }

    /// The address of a distance from the first one.
    #[inline]
    pub(crate) fn address(self, offset: u32) -> u64 {
        self.start.wrapping_add(u64::from(offset))
    }
}

/// Where an address is sought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// Number of the segment.
    pub(crate) segment: usize,
    /// The address in it.
    pub(crate) offset: u32,
    /// The positions among which the first address above is, or which are all not above: from the first...
    pub(crate) low: usize,
    /// ... to the one behind the last.
    pub(crate) high: usize,
}

impl Buckets {
    /// Divides the segments; `offset_fn` has the offset at a position.
    fn divide(&mut self, offset_fn: impl Fn(usize) -> u32) {
        for segment in &mut self.segments {
            let length = segment.end.saturating_sub(segment.begin);
            let span = offset_fn(segment.end.saturating_sub(1));
            let most = u32::try_from(length / PER_BUCKET).unwrap_or(u32::MAX);
            segment.shift = (0..u32::BITS)
                .find(|&shift| span >> shift <= most)
                .unwrap_or(31);
            segment.first = self.positions.len();
            let mut bucket = 0;
            for at in segment.begin..segment.end {
                let position = u32::try_from(at).unwrap_or(u32::MAX);
                while bucket <= offset_fn(at) >> segment.shift {
                    self.positions.push(position);
                    bucket = bucket.saturating_add(1);
                }
            }
            segment.last = self.positions.len().saturating_sub(1);
            self.positions
                .push(u32::try_from(segment.end).unwrap_or(u32::MAX));
        }
        self.positions.shrink_to_fit();
    }

    /// Where `addr` is sought; `None` when all addresses are above.
    #[inline]
    pub(crate) fn range(&self, addr: u64) -> Option<Range> {
        let number = if self.starts.len() <= FEW {
            let starts = self.starts.iter().map(|&start| usize::from(start <= addr));
            starts.fold(0, usize::wrapping_add)
        } else {
            self.starts.partition_point(|&start| start <= addr)
        };
        let number = number.checked_sub(1)?;
        let segment = *self.segments.get(number)?;
        let offset = segment.offset(addr);
        let bucket = usize::try_from(offset >> segment.shift).unwrap_or(usize::MAX);
        let bucket = segment.first.saturating_add(bucket).min(segment.last);
        let bounds = self.positions.get(bucket..)?.first_chunk::<2>()?;
        let [low, high] = bounds.map(|bound| usize::try_from(bound).unwrap_or(usize::MAX));
        Some(Range {
            segment: number,
            offset,
            low,
            high,
        })
    }

    /// The segment of a number.
    #[inline]
    pub(crate) fn segment(&self, number: usize) -> Option<Segment> {
        self.segments.get(number).copied()
    }

    /// The first address of the segment of a number.
    #[inline]
    pub(crate) fn start(&self, number: usize) -> Option<u64> {
        self.starts.get(number).copied()
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.positions.as_slice())
            .saturating_add(size_of_val(self.segments.as_slice()))
            .saturating_add(size_of_val(self.starts.as_slice()))
    }
}

/// Buckets in the making.
#[derive(Debug, Default)]
pub(crate) struct BucketsBuilder {
    buckets: Buckets,
    /// The first address of the last segment, and the last one of it.
    start: u64,
    last: u64,
    count: usize,
}

impl BucketsBuilder {
    /// Adds an address, none below the one before; the address as it is in its segment.
    #[inline]
    pub(crate) fn push(&mut self, addr: u64) -> u32 {
        let near = u32::try_from(addr.wrapping_sub(self.start)).ok();
        let near = near.filter(|_| addr.wrapping_sub(self.last) < GAP_BYTES && self.count > 0);
        let offset = near.unwrap_or_else(|| self.begin(addr));
        self.last = addr;
        self.count = self.count.saturating_add(1);
        offset
    }

    #[cold]
    fn begin(&mut self, addr: u64) -> u32 {
        self.end_segment();
        self.start = addr;
        self.buckets.starts.push(addr);
        self.buckets.segments.push(Segment {
            start: addr,
            shift: 0,
            first: 0,
            last: 0,
            begin: self.count,
            end: self.count,
        });
        0
    }

    fn end_segment(&mut self) {
        if let Some(segment) = self.buckets.segments.last_mut() {
            segment.end = self.count;
        }
    }

    /// Ends the making; `offset_fn` has what was returned for the address of a position.
    pub(crate) fn finish(mut self, offset_fn: impl Fn(usize) -> u32) -> Buckets {
        self.end_segment();
        self.buckets.divide(offset_fn);
        self.buckets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(addrs: &[u64]) -> (Vec<u32>, Buckets) {
        let mut builder = BucketsBuilder::default();
        let offsets: Vec<u32> = addrs.iter().map(|&addr| builder.push(addr)).collect();
        let buckets = builder.finish(|at| offsets[at]);
        (offsets, buckets)
    }

    proptest! {
        #[test]
        fn an_address_is_where_a_search_by_halves_finds_it(
            near in prop::collection::vec(0..200_000_u64, 0..200),
            wide in prop::collection::vec(0..3_000_u64, 0..2000),
            far: Vec<u64>,
            asked: Vec<u64>,
        ) {
            let near = near.into_iter().map(|it| it + 0xffff_ffff_8100_0000);
            // No gap, and more than 4 GiB.
            let wide = wide.into_iter().map(|it| 0x1_0000_0000 + it * 4_000_000);
            let mut addrs: Vec<u64> = near.chain(wide).chain(far).collect();
            addrs.sort_unstable();
            let (offsets, buckets) = made(&addrs);
            let around = addrs.iter().flat_map(|it| [it.wrapping_sub(1), *it, it.wrapping_add(1)]);
            for addr in around.chain(asked).chain([0, u64::MAX]) {
                let expected = addrs.partition_point(|&it| it <= addr);
                let Some(range) = buckets.range(addr) else {
                    prop_assert_eq!(expected, 0);
                    continue;
                };
                let (low, high) = (range.low, range.high);
                let found = low + offsets[low..high].partition_point(|&it| it <= range.offset);
                prop_assert_eq!(found, expected, "{:x} of {:x?}", addr, addrs);
                let segment = buckets.segment(range.segment).unwrap();
                prop_assert!(high <= segment.end);
                prop_assert_eq!(segment.address(offsets[found - 1]), addrs[found - 1]);
            }
        }
    }

    #[test]
    fn buckets_are_few_whatever_the_addresses() {
        let spread: Vec<u64> = (0..1000).map(|at| at << 54).collect();
        let dense = std::vec![7; 1000];
        for addrs in [spread, dense] {
            let (_, buckets) = made(&addrs);
            let segments = buckets.segments.len();
            assert!(buckets.positions.len() <= 1000 / PER_BUCKET + 2 * segments + 2);
        }
    }
}
