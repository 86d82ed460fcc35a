//! Names of services, and the kernel sessions that belong to them.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// Prefix of every session of the agent: names are global in the kernel, this one is ours.
const SESSION_PREFIX: &str = "luod:";

/// The name of a service: 1 to 58 characters of `A-Z a-z 0-9 . _ @ -`.
///
/// With the prefix `luod:` it is the name of its session, and the kernel takes 63 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(String);

/// Why a string is no service name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceNameError {
    /// No character.
    #[error("the name is empty; give it 1 to 58 characters")]
    Empty,
    /// Too long to become a session's name.
    #[error(
        "the name has {len} bytes; at most 58 fit: the kernel's session names have 63 and `luod:` comes before it"
    )]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// A character outside the set.
    #[error("the name has {found:?} at byte {offset}; use letters, digits and . _ @ - only")]
    Character {
        /// The character.
        found: char,
        /// Its offset in bytes.
        offset: usize,
    },
}

impl ServiceName {
    /// Most bytes of a name.
    pub const MAX_LEN: usize = 58;
    /// The session that carries the journal; no service's session can have this name.
    pub const JOURNAL_SESSION: &'static str = "luod";

    /// Checks `name`.
    ///
    /// # Errors
    /// [`ServiceNameError`] names what is wrong with it.
    pub fn new(name: &str) -> Result<Self, ServiceNameError> {
        if name.is_empty() {
            return Err(ServiceNameError::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(ServiceNameError::TooLong { len: name.len() });
        }
        let bad = name
            .char_indices()
            .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-')));
        match bad {
            Some((offset, found)) => Err(ServiceNameError::Character { found, offset }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this service's session: at most 63 bytes, without NUL.
    pub fn session(&self) -> String {
        format!("{SESSION_PREFIX}{}", self.0)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_makes_a_session_name_of_63_bytes() {
        let name = ServiceName::new(&"x".repeat(58)).unwrap();
        assert_eq!(name.session().len(), 63);
    }

    #[test]
    fn each_bad_name_is_refused_for_its_own_reason() {
        assert_eq!(ServiceName::new(""), Err(ServiceNameError::Empty));
        assert_eq!(
            ServiceName::new(&"x".repeat(64)),
            Err(ServiceNameError::TooLong { len: 64 })
        );
        let error = ServiceName::new("a/b").unwrap_err();
        assert_eq!(
            error,
            ServiceNameError::Character {
                found: '/',
                offset: 1
            }
        );
    }

    #[test]
    fn no_service_can_take_the_session_of_the_journal() {
        let session = ServiceName::new("luod").unwrap().session();
        assert_ne!(session, ServiceName::JOURNAL_SESSION);
    }
}
