//! Which part of a file is which part of memory.

use std::ops::Range;

/// A run of memory that is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Physical address of its first byte.
    pub(crate) addr: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// Where in the file it starts.
    pub(crate) offset: u64,
}

impl Segment {
    pub(crate) fn end(&self) -> u64 {
        self.addr.saturating_add(self.bytes)
    }
}

/// Segments in ascending order that do not overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments(Vec<Segment>);

impl Segments {
    /// Sorts segments. Where two overlap, the one that starts first has the memory: a dump of a
    /// running kernel has the kernel's text twice.
    pub(crate) fn new(mut segments: Vec<Segment>) -> Self {
        segments.sort_by_key(|segment| segment.addr);
        let mut kept: Vec<Segment> = Vec::with_capacity(segments.len());
        for mut segment in segments {
            let end = kept.last().map_or(0, Segment::end);
            if let Some(cut) = end.checked_sub(segment.addr).filter(|&cut| cut > 0) {
                if cut >= segment.bytes {
                    continue;
                }
                segment.addr += cut;
                segment.offset += cut;
                segment.bytes -= cut;
            }
            kept.push(segment);
        }
        Self(kept)
    }

    /// Where in the file the byte at `addr` is, and how many follow it there.
    pub(crate) fn place(&self, addr: u64) -> Option<(u64, u64)> {
        let after = self.0.partition_point(|segment| segment.addr <= addr);
        let segment = self.0.get(after.checked_sub(1)?)?;
        let inside = addr - segment.addr;
        let left = segment.bytes.checked_sub(inside).filter(|&left| left > 0)?;
        Some((segment.offset + inside, left))
    }

    /// Runs of memory, joined where they touch.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for segment in &self.0 {
            match ranges.last_mut() {
                Some(last) if last.end == segment.addr => last.end = segment.end(),
                _ => ranges.push(segment.addr..segment.end()),
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_segments_are_cut_and_every_byte_has_one_place() {
        let segment = |addr, bytes, offset| Segment {
            addr,
            bytes,
            offset,
        };
        let segments = Segments::new(vec![
            segment(0x3000, 0x1000, 100),
            segment(0x1000, 0x1800, 5000),
            segment(0x2000, 0x1000, 9000),
            segment(0x1400, 0x10, 20000),
        ]);
        assert_eq!(segments.place(0xfff), None);
        assert_eq!(segments.place(0x1000), Some((5000, 0x1800)));
        assert_eq!(segments.place(0x27ff), Some((5000 + 0x17ff, 1)));
        assert_eq!(segments.place(0x2800), Some((9000 + 0x800, 0x800)));
        assert_eq!(segments.place(0x3fff), Some((100 + 0xfff, 1)));
        assert_eq!(segments.place(0x4000), None);
        let whole = 0x1000..0x4000;
        assert_eq!(segments.ranges(), [whole]);
    }
}
