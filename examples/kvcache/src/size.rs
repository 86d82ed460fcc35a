//! [`ByteSize`]: a size as people type it.

use core::fmt;
use core::str::FromStr;

/// A number of bytes, typed as a number with an optional `K`, `M` or `G` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// A size that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read size '{0}': give bytes, or a number with K, M or G, such as 512M")]
pub struct InvalidSize(String);

impl FromStr for ByteSize {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let (number, shift) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (text.get(..text.len() - 1), 10),
            Some(b'M' | b'm') => (text.get(..text.len() - 1), 20),
            Some(b'G' | b'g') => (text.get(..text.len() - 1), 30),
            _ => (Some(text), 0),
        };
        number
            .and_then(|number| number.parse::<u64>().ok())
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| InvalidSize(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!("512M".parse(), Ok(ByteSize(512 << 20)));
        assert_eq!("3g".parse(), Ok(ByteSize(3 << 30)));
        assert_eq!("4096".parse(), Ok(ByteSize(4096)));
        for wrong in ["", "M", "-1", "1T", "99999999999G", "1.5G"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }
}
