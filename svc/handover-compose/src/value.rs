//! Values of a plan that TOML has no type for.

use std::fmt;

use kho_abi::kexec_metadata::RELEASE_LENGTH;
use kho_abi::memfd::Seals;
use liveupdate_uapi::{NameError, SessionName};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A number of 64 bits, unsigned: an integer, or text like `0xffffffffffffffff`, `64K`, `1G`.
///
/// TOML's own integers end at 2^63 - 1, tokens do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

impl Number {
    /// Reads `0x` and hexadecimal, or decimal with one of the units K, M, G and T (binary).
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix("0x") {
            // from_str_radix() would take a sign.
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u64::from_str_radix(digits, 16).ok();
            return number.filter(|_| is_plain).map(Self);
        }
        let end = text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, unit) = text.split_at_checked(end)?;
        let shift = match unit {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return None,
        };
        let number: u64 = digits.parse().ok()?;
        number.checked_mul(1 << shift).map(Self)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 2^64 - 1: 4096, \"0x1000\" or \"4K\" (K, M, G, T)")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        let number = u64::try_from(value).ok().map(Number);
        number.ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        Number::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// A seal of a memfd, as `fcntl(2)` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// No more seals.
    Seal,
    /// The size does not shrink.
    Shrink,
    /// The size does not grow.
    Grow,
    /// Content does not change.
    Write,
    /// Content does not change but by mappings that are there.
    FutureWrite,
    /// The executable bits do not change.
    Exec,
}

impl Seal {
    /// The bit.
    pub const fn bit(self) -> Seals {
        match self {
            Self::Seal => Seals::SEAL,
            Self::Shrink => Seals::SHRINK,
            Self::Grow => Seals::GROW,
            Self::Write => Seals::WRITE,
            Self::FutureWrite => Seals::FUTURE_WRITE,
            Self::Exec => Seals::EXEC,
        }
    }
}

/// A session's name: 1 to 63 bytes without a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Session(pub SessionName);

impl TryFrom<String> for Session {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        SessionName::new(&text).map(Self)
    }
}

/// The release of a kernel, as `uname -r` prints it: up to 64 bytes without a NUL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Release(String);

/// Text that is no release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a release has up to 64 bytes and no NUL; this text has {found_bytes} bytes")]
pub struct ReleaseError {
    /// Its length.
    pub found_bytes: usize,
}

impl Release {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Release {
    fn default() -> Self {
        Self("composed".to_owned())
    }
}

impl TryFrom<String> for Release {
    type Error = ReleaseError;

    fn try_from(text: String) -> Result<Self, ReleaseError> {
        let found_bytes = text.len();
        if found_bytes >= RELEASE_LENGTH || text.contains('\0') {
            return Err(ReleaseError { found_bytes });
        }
        Ok(Self(text))
    }
}

/// What a range of memory is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryKind {
    /// Memory to use.
    #[default]
    Ram,
    /// Not to be touched.
    Reserved,
    /// ACPI tables.
    Acpi,
    /// ACPI non-volatile storage.
    Nvs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_or_are_hexadecimal() {
        for (text, number) in [
            ("0", Some(0)),
            ("64K", Some(65536)),
            ("3T", Some(3 << 40)),
            ("0xffffffffffffffff", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("16777216T", None),
            ("0x+1", None),
            ("", None),
            ("K", None),
            ("+1", None),
            ("1k", None),
            ("1.5G", None),
        ] {
            assert_eq!(Number::parse(text), number.map(Number), "{text:?}");
        }
    }
}
