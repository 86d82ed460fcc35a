//! A stable 64-bit hash that names a configuration, or a path, in the cache.

use std::fmt;

/// FNV-1a, 64 bits: the same on every machine and toolchain, which the standard hasher does not promise.
///
/// It tells configurations of one developer apart; nothing hostile is ever hashed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfigHash(u64);

impl ConfigHash {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(Self::OFFSET_BASIS, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(Self::PRIME)
        }))
    }
}

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_test_vectors_hold() {
        assert_eq!(ConfigHash::of(b"").to_string(), "cbf29ce484222325");
        assert_eq!(ConfigHash::of(b"foobar").to_string(), "85944171f73967e8");
    }
}
