//! Session names as the kernel keeps and compares them.

use alloc::vec::Vec;
use core::fmt;

/// Bytes of the longest name with its NUL.
const LENGTH: usize = 64;

/// A name, padded with NULs. Unlike `liveupdate_uapi::SessionName` it may be empty: the kernel
/// does not check what it receives, and the v4 series checks nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name([u8; LENGTH]);

impl Name {
    /// `strscpy()` into a field of `room` bytes: the bytes up to a NUL, cut to leave one.
    pub(crate) fn copy(bytes: &[u8], room: usize) -> Self {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        let most = room.min(LENGTH).saturating_sub(1);
        let text = text.get(..most).unwrap_or(text);
        let mut name = [0; LENGTH];
        name.iter_mut().zip(text).for_each(|(to, &from)| *to = from);
        Self(name)
    }

    /// What a program looks for; `None` of what cannot match anything: no NUL in it.
    pub(crate) fn query(bytes: &[u8]) -> Option<Self> {
        bytes.contains(&0).then(|| Self::copy(bytes, LENGTH))
    }

    /// Whether there is a byte.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.first() == Some(&0)
    }

    /// Without its padding.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let text = self.0.split(|&byte| byte == 0).next();
        text.unwrap_or_default().to_vec()
    }

    /// With its padding.
    pub(crate) const fn as_array(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        write!(f, "\"{}\"", text.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_their_nul_or_at_the_end_of_the_field() {
        assert_eq!(Name::copy(b"ab\0cd", 64), Name::copy(b"ab", 64));
        assert_eq!(Name::copy(&[b'x'; 64], 64), Name::copy(&[b'x'; 63], 64));
        assert_eq!(Name::copy(&[b'x'; 64], 56), Name::copy(&[b'x'; 55], 64));
        assert!(Name::copy(b"\0a", 64).is_empty());
        assert_eq!(Name::query(&[b'x'; 64]), None);
        assert_eq!(Name::query(b"ab\0"), Some(Name::copy(b"ab", 56)));
    }
}
