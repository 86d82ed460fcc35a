//! Session names, as `kernel/liveupdate/luo_session.c` (v7.3) accepts them.

use core::fmt;

use crate::mainline::SESSION_NAME_LENGTH;

/// A valid session name: 1 to 63 bytes, none of them NUL.
///
/// Names are global in the kernel, one namespace for outgoing and one for incoming sessions.
///
/// # Invariants
/// The bytes up to the first NUL are the name, there is at least one, and all after it are NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionName([u8; SESSION_NAME_LENGTH]);

/// Why bytes are no session name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// No byte at all; the kernel answers `EINVAL`.
    Empty,
    /// More than 63 bytes; the kernel answers `EINVAL`.
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// A NUL byte inside: the kernel would silently use the part before it.
    Nul {
        /// Offset of the NUL in bytes.
        offset: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("session name is empty; give it 1 to 63 bytes"),
            Self::TooLong { len } => {
                write!(
                    f,
                    "session name has {len} bytes; the kernel takes 63 at most"
                )
            }
            Self::Nul { offset } => write!(f, "session name has a NUL byte at offset {offset}"),
        }
    }
}

impl core::error::Error for NameError {}

impl SessionName {
    /// Checks `name` and makes a session name of it.
    ///
    /// # Errors
    /// [`NameError`] says what the kernel would refuse or misread.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let bytes = name.as_bytes();
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(offset) = bytes.iter().position(|&b| b == 0) {
            return Err(NameError::Nul { offset });
        }
        let mut out = [0; SESSION_NAME_LENGTH];
        // The last byte stays NUL: 63 bytes at most are a name.
        match out
            .split_last_mut()
            .and_then(|(_, head)| head.get_mut(..bytes.len()))
        {
            Some(dest) => dest.copy_from_slice(bytes),
            None => return Err(NameError::TooLong { len: bytes.len() }),
        }
        Ok(Self(out))
    }

    /// Reads a name the kernel wrote: `None` without a terminating NUL or when it is empty.
    pub fn from_kernel(bytes: [u8; SESSION_NAME_LENGTH]) -> Option<Self> {
        let end = bytes.iter().position(|&b| b == 0)?;
        if end == 0 {
            return None;
        }
        let mut out = bytes;
        out.iter_mut().skip(end).for_each(|b| *b = 0);
        Some(Self(out))
    }

    /// The 64 bytes as the ioctls take them.
    pub const fn as_array(&self) -> &[u8; SESSION_NAME_LENGTH] {
        &self.0
    }

    /// The name without its NUL padding.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionName(\"{self}\")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_1_to_63_bytes_are_taken() {
        let longest = "x".repeat(63);
        for name in ["a", "luod", longest.as_str()] {
            assert_eq!(SessionName::new(name).unwrap().as_bytes(), name.as_bytes());
        }
    }

    #[test]
    fn what_the_kernel_would_refuse_or_misread_is_refused() {
        assert_eq!(SessionName::new(""), Err(NameError::Empty));
        let long = "x".repeat(64);
        assert_eq!(SessionName::new(&long), Err(NameError::TooLong { len: 64 }));
        assert_eq!(SessionName::new("a\0b"), Err(NameError::Nul { offset: 1 }));
    }

    #[test]
    fn a_name_from_the_kernel_ends_at_its_nul() {
        let mut raw = [0xAA; SESSION_NAME_LENGTH];
        assert_eq!(SessionName::from_kernel(raw), None);
        raw[..3].copy_from_slice(b"ab\0");
        assert_eq!(SessionName::from_kernel(raw), SessionName::new("ab").ok());
        raw[0] = 0;
        assert_eq!(SessionName::from_kernel(raw), None);
    }
}
