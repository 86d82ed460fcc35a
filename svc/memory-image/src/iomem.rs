//! Where memory is, by `/proc/iomem`.
//!
//! `kernel/resource.c`, v7.3: a line for each range, `start-end : name`, hexadecimal, the end inside;
//! ranges inside of others are indented. Who may not know sees zeros.

use std::path::Path;

use crate::error::ImageError;
use crate::segments::Segment;

/// Where `/proc/iomem` is.
pub(crate) const PATH: &str = "/proc/iomem";

/// Ranges of memory in a text like `/proc/iomem`, which `/dev/mem` has at their addresses.
pub(crate) fn segments(text: &str) -> Result<Vec<Segment>, ImageError> {
    let segments: Vec<Segment> = text.lines().filter_map(memory).collect();
    if segments.iter().all(|segment| segment.addr == 0) {
        return Err(ImageError::Hidden {
            path: Path::new(PATH).to_owned(),
        });
    }
    Ok(segments)
}

fn memory(line: &str) -> Option<Segment> {
    let (range, name) = line.split_once(" : ")?;
    if name != "System RAM" {
        return None;
    }
    let (start, last) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (addr, last) = (number(start)?, number(last)?);
    Some(Segment {
        addr,
        bytes: last.checked_sub(addr)?.checked_add(1)?,
        offset: addr,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: &str = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
000a0000-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-3ffdbfff : System RAM
  01000000-01dfffff : Kernel code
3ffdc000-3fffffff : Reserved
100000000-1ffffffff : System RAM
";

    #[test]
    fn ranges_of_memory_are_found_and_what_is_inside_of_them_is_not() {
        let found = segments(SEEN).unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.addr, it.bytes)).collect();
        let seen = [
            (0x1000, 0x9_ec00),
            (0x10_0000, 0x3fed_c000),
            (1 << 32, 1 << 32),
        ];
        assert_eq!(found, seen);
    }

    #[test]
    fn who_may_not_know_is_told_so() {
        let hidden = "00000000-00000000 : System RAM\n00000000-00000000 : System RAM\n";
        for text in [hidden, "", "x-y : System RAM\n5-4 : System RAM\n"] {
            assert!(matches!(segments(text), Err(ImageError::Hidden { .. })));
        }
    }
}
