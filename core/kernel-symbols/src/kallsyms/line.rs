//! One line.

use crate::kind::Kind;
use crate::name::Ending;

/// A line of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'t> {
    pub(super) addr: u64,
    pub(super) kind: Kind,
    /// Where the name starts in the text.
    pub(super) name_at: usize,
    pub(super) name: &'t [u8],
    /// What is in brackets; empty for vmlinux.
    pub(super) module: &'t [u8],
    /// Where the next line starts.
    pub(super) end: usize,
}

/// Digits of an address on 64-bit machines.
const DIGITS: usize = 16;

impl<'t> Line<'t> {
    /// Reads the line at `offset`, or says what is wrong with it.
    ///
    /// `expected` is the module of the line before, likely that of this one.
    #[inline]
    pub(super) fn read(
        text: &'t [u8],
        offset: usize,
        expected: &'t [u8],
    ) -> Result<Self, &'static str> {
        let rest = text.get(offset..).unwrap_or_default();
        let (addr, digits) = address(rest)?;
        let after = rest.get(digits..).unwrap_or_default();
        let [b' ', letter, b' ', ..] = *after else {
            return Err("no ` LETTER ` behind the address");
        };
        if !letter.is_ascii_graphic() {
            return Err("no letter behind the address");
        }
        let head = digits.saturating_add(3);
        let body = rest.get(head..).unwrap_or_default();
        let length = Ending::Blank.length(body);
        let (name, tail) = body.split_at_checked(length).unwrap_or((body, &[]));
        let (module, tail_bytes) = match tail {
            [] => (&[][..], 0),
            [b'\n', ..] => (&[][..], 1),
            [b'\t', b'[', tail @ ..] => match behind(tail, expected) {
                Some([b']', b'\n', ..]) if !expected.is_empty() => {
                    (expected, expected.len().saturating_add(4))
                }
                _ => bracket(tail)?,
            },
            _ => return Err("neither the end nor a module behind the name"),
        };
        let name_at = offset.saturating_add(head);
        let end = name_at.saturating_add(length).saturating_add(tail_bytes);
        Ok(Self {
            addr,
            kind: Kind::of_letter(letter),
            name_at,
            name,
            module,
            end,
        })
    }
}

/// Address and kind of the line whose name starts at `name_at`.
pub(crate) fn before(text: &[u8], name_at: usize) -> Option<(u64, Kind)> {
    let [head @ .., b' ', letter, b' '] = text.get(..name_at)? else {
        return None;
    };
    let digits = head
        .iter()
        .rev()
        .take(DIGITS)
        .take_while(|byte| byte.is_ascii_hexdigit());
    let digits = head.get(head.len().checked_sub(digits.count())?..)?;
    Some((digits_value(digits).0, Kind::of_letter(*letter)))
}

/// What is behind a module's name, if the text starts with it. Names are short: calling `memcmp` takes longer.
#[inline]
fn behind<'t>(text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let (start, behind) = text.split_at_checked(name.len())?;
    let (words, bytes) = name.as_chunks::<8>();
    let (start_words, start_bytes) = start.as_chunks::<8>();
    let same_words = words
        .iter()
        .zip(start_words)
        .all(|(one, other)| one == other);
    let same_bytes = bytes
        .iter()
        .zip(start_bytes)
        .all(|(one, other)| one == other);
    (same_words && same_bytes).then_some(behind)
}

/// A module's name up to its bracket, and the length of the line from its tab on.
fn bracket(tail: &[u8]) -> Result<(&[u8], usize), &'static str> {
    let length = tail.iter().position(|&byte| byte == b']' || byte == b'\n');
    let length = length.ok_or("no end of the module's name")?;
    let (name, tail) = tail.split_at_checked(length).unwrap_or((tail, &[]));
    if name.is_empty() {
        return Err("a module without a name");
    }
    // Tab and bracket before the name, bracket behind it.
    let bytes = length.saturating_add(3);
    match tail {
        [b']'] => Ok((name, bytes)),
        [b']', b'\n', ..] => Ok((name, bytes.saturating_add(1))),
        _ => Err("something behind the module"),
    }
}

/// An address and the number of its digits.
#[inline]
fn address(text: &[u8]) -> Result<(u64, usize), &'static str> {
    match digits_value(text) {
        (_, 0) => Err("no hexadecimal address"),
        found => Ok(found),
    }
}

/// The value of the hexadecimal digits at the start, sixteen at most, and their number.
#[inline]
fn digits_value(text: &[u8]) -> (u64, usize) {
    if let Some((high, rest)) = text.split_first_chunk::<8>()
        && let Some(low) = rest.first_chunk::<8>()
        && let Some((high, low)) = eight_digits(*high).zip(eight_digits(*low))
    {
        return (u64::from(high) << 32 | u64::from(low), DIGITS);
    }
    digit_by_digit(text)
}

/// The same for an address of fewer digits.
#[cold]
fn digit_by_digit(text: &[u8]) -> (u64, usize) {
    let mut value = 0_u64;
    let mut count = 0_usize;
    let digits = text
        .iter()
        .take(DIGITS)
        .map_while(|&byte| char::from(byte).to_digit(16));
    for digit in digits {
        value = value << 4 | u64::from(digit);
        count = count.saturating_add(1);
    }
    (value, count)
}

/// Eight hexadecimal digits, all at once; `None` when one is none.
#[inline]
fn eight_digits(digits: [u8; 8]) -> Option<u32> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_be_bytes(digits);
    // The highest bit of each byte that is at least `least`; bytes are below 0x80.
    let at_least = |word: u64, least: u64| (word | HIGH).wrapping_sub(ONES.wrapping_mul(least));
    let lower = word | ONES.wrapping_mul(0x20);
    let is_digit = at_least(word, 0x30) & !at_least(word, 0x3a);
    let is_letter = at_least(lower, 0x61) & !at_least(lower, 0x67);
    if (is_digit | is_letter) & !word & HIGH != HIGH {
        return None;
    }
    // Letters are nine above the digits in their low four bits; then neighbours are joined.
    let values = (word & ONES.wrapping_mul(0x0f)).wrapping_add((word >> 6 & ONES).wrapping_mul(9));
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours | fours >> 16) & 0xffff_ffff).ok()
}

#[cfg(test)]
mod tests {
    use std::format;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_read_as_they_are_written(addr: u64, digits in 1..=16_usize) {
            let addr = addr & u64::MAX >> (64 - 4 * digits);
            for text in [format!("{addr:0digits$x} "), format!("{addr:0digits$X} ")] {
                prop_assert_eq!(address(text.as_bytes()), Ok((addr, digits)));
            }
        }

        #[test]
        fn eight_bytes_are_digits_or_not(digits: [u8; 8]) {
            let text = core::str::from_utf8(&digits).ok();
            let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
            let slow = text.filter(|_| is_hex).and_then(|text| u32::from_str_radix(text, 16).ok());
            prop_assert_eq!(eight_digits(digits), slow);
        }
    }

    #[test]
    fn every_byte_is_a_digit_or_not() {
        for byte in 0..=u8::MAX {
            let mut digits = *b"01234567";
            digits[3] = byte;
            assert_eq!(
                eight_digits(digits).is_some(),
                byte.is_ascii_hexdigit(),
                "{byte:#x}"
            );
        }
    }

    fn read(text: &str) -> Result<Line<'_>, &'static str> {
        Line::read(text.as_bytes(), 0, b"mod")
    }

    #[test]
    fn lines_of_the_kernel_modules_and_32_bits() {
        let line = read("ffffffff81000000 T _stext\nrest").unwrap();
        assert_eq!(
            (line.addr, line.kind.letter()),
            (0xffff_ffff_8100_0000, 'T')
        );
        assert_eq!(
            (line.name, line.module, line.end),
            (&b"_stext"[..], &b""[..], 26)
        );
        let line = read("ffffffffc0000000 t f\t[mod]").unwrap();
        assert_eq!(
            (line.name, line.module, line.end),
            (&b"f"[..], &b"mod"[..], 26)
        );
        let line = read("c0100000 T start\nx").unwrap();
        assert_eq!(
            (line.addr, line.name, line.end),
            (0xc010_0000, &b"start"[..], 17)
        );
        assert_eq!(read("0 a \n").unwrap().name, b"");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in [
            "",
            "\n",
            " T x",
            "xyz",
            "ffffffff8100000g T x",
            "ffffffff81000000",
            "ffffffff81000000  x",
            "ffffffff81000000 T",
            "ffffffff810000000 T x",
            "1 T x y",
            "1 T x\r\n",
            "1 T x\t",
            "1 T x\t[",
            "1 T x\t[]",
            "1 T x\t[m",
            "1 T x\t[m\n]",
            "1 T x\t[m]z",
            "1 \u{1} x",
        ] {
            assert!(read(text).is_err(), "{text:?}: {:?}", read(text));
        }
    }
}
