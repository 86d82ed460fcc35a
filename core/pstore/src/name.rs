//! File names of records: `TYPE-BACKEND-ID`, and `.enc.z` behind it while the kernel could not unpack the record.
//!
//! Source: `pstore_mkfile()` (`fs/pstore/inode.c`), `pstore_type_names[]` (`fs/pstore/platform.c`), v7.3.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// Behind the name of a record that is still compressed.
const PACKED: &str = ".enc.z";

/// What a record is.
#[doc(alias = "pstore_type_id")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RecordKind {
    /// The kernel's log at an event.
    Dmesg,
    /// A machine check.
    Mce,
    /// What went to the console.
    Console,
    /// Function calls.
    Ftrace,
    /// Messages of RTAS, the firmware of some POWER machines.
    Rtas,
    /// Open Firmware's, of POWER machines.
    PowerpcOfw,
    /// POWER machines' common partition.
    PowerpcCommon,
    /// What programs wrote to `/dev/pmsg0`.
    Pmsg,
    /// OPAL's, of POWER machines.
    PowerpcOpal,
}

impl RecordKind {
    /// All, by the kernel's numbers.
    pub const ALL: [Self; 9] = [
        Self::Dmesg,
        Self::Mce,
        Self::Console,
        Self::Ftrace,
        Self::Rtas,
        Self::PowerpcOfw,
        Self::PowerpcCommon,
        Self::Pmsg,
        Self::PowerpcOpal,
    ];

    /// As it stands in file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dmesg => "dmesg",
            Self::Mce => "mce",
            Self::Console => "console",
            Self::Ftrace => "ftrace",
            Self::Rtas => "rtas",
            Self::PowerpcOfw => "powerpc-ofw",
            Self::PowerpcCommon => "powerpc-common",
            Self::Pmsg => "pmsg",
            Self::PowerpcOpal => "powerpc-opal",
        }
    }

    /// Whether it is text in lines.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Dmesg | Self::Console | Self::Pmsg)
    }
}

/// The name of a record's file, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// What it is.
    pub kind: RecordKind,
    /// The driver that kept it: `ramoops`, `efi_pstore`, `erst`, `kho`.
    pub backend: String,
    /// The driver's number of it. Numbers are used again.
    pub id: u64,
    /// Whether it is compressed still: raw deflate.
    pub is_packed: bool,
}

/// Why a file name is not that of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It begins with no type of record.
    #[error("{name:?} begins with no type of record that is known")]
    Kind {
        /// The name.
        name: String,
    },
    /// It ends with no number.
    #[error("{name:?} does not end with the number of a record")]
    Id {
        /// The name.
        name: String,
    },
    /// There is nothing between type and number.
    #[error("{name:?} names no backend")]
    Backend {
        /// The name.
        name: String,
    },
}

impl RecordName {
    /// Takes a file name apart.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let (plain, is_packed) = match name.strip_suffix(PACKED) {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let after = |kind: RecordKind| plain.strip_prefix(kind.name())?.strip_prefix('-');
        let mut found = RecordKind::ALL.into_iter();
        let found = found.find_map(|kind| Some((kind, after(kind)?)));
        let (kind, rest) = found.ok_or_else(|| NameError::Kind { name: name.into() })?;
        let no_id = || NameError::Id { name: name.into() };
        let (backend, digits) = rest.rsplit_once('-').ok_or_else(no_id)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let id = is_number.then(|| digits.parse().ok()).flatten();
        let id = id.ok_or_else(no_id)?;
        if backend.is_empty() {
            return Err(NameError::Backend { name: name.into() });
        }
        Ok(Self {
            kind,
            backend: backend.to_owned(),
            id,
            is_packed,
        })
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packed = if self.is_packed { PACKED } else { "" };
        let (kind, backend, id) = (self.kind.name(), &self.backend, self.id);
        write!(f, "{kind}-{backend}-{id}{packed}")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn names_of_every_backend_are_taken_apart_and_put_together() {
        for (name, kind, backend, id, is_packed) in [
            ("dmesg-ramoops-0", RecordKind::Dmesg, "ramoops", 0, false),
            ("dmesg-kho-0.enc.z", RecordKind::Dmesg, "kho", 0, true),
            (
                "dmesg-efi_pstore-169531400201001",
                RecordKind::Dmesg,
                "efi_pstore",
                169_531_400_201_001,
                false,
            ),
            (
                "console-ramoops-0",
                RecordKind::Console,
                "ramoops",
                0,
                false,
            ),
            (
                "powerpc-ofw-nvram-3",
                RecordKind::PowerpcOfw,
                "nvram",
                3,
                false,
            ),
            ("pmsg-a-b-7", RecordKind::Pmsg, "a-b", 7, false),
        ] {
            let found = RecordName::parse(name).unwrap();
            assert_eq!(
                (found.kind, &*found.backend, found.id, found.is_packed),
                (kind, backend, id, is_packed)
            );
            assert_eq!(found.to_string(), name);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_the_same_after_a_round_trip(
            kind in select(&RecordKind::ALL[..]),
            backend in "[a-z_][a-z_0-9-]{0,12}",
            id: u64,
            is_packed: bool,
        ) {
            let name = RecordName { kind, backend, id, is_packed };
            prop_assert_eq!(RecordName::parse(&name.to_string()), Ok(name));
        }
    }

    #[test]
    fn what_is_no_record_is_told_why() {
        let error = |name: &str| RecordName::parse(name).unwrap_err();
        assert!(matches!(error("notes.txt"), NameError::Kind { .. }));
        assert!(matches!(error("dmesg"), NameError::Kind { .. }));
        assert!(matches!(error("dmesg-ramoops"), NameError::Id { .. }));
        assert!(matches!(error("dmesg-ramoops-+1"), NameError::Id { .. }));
        assert!(matches!(
            error("dmesg-ramoops-18446744073709551616"),
            NameError::Id { .. }
        ));
        assert!(matches!(error("dmesg--1"), NameError::Backend { .. }));
    }
}
