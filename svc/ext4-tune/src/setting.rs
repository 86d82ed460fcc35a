//! [`Setting`]: a parameter and its new value.

use ext4_sys::{Fields, MOUNT_OPTIONS_BYTES, TuneParams};

use crate::error::Error;

/// What can be done on errors, by the kernel's numbers from 1.
pub(crate) const ERRORS: [&str; 3] = ["continue", "remount-ro", "panic"];

/// Writes a value that was read; `None` if it is none.
type ApplyFn = fn(&str, &mut TuneParams) -> Option<()>;

/// A parameter: its name, what it takes, its field.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    wanted: &'static str,
    pub(crate) field: Fields,
    apply_fn: ApplyFn,
    /// Its value as text.
    pub(crate) show_fn: fn(&TuneParams) -> String,
}

/// Everything that can be changed.
pub(crate) const KEYS: [Key; 11] = [
    Key {
        name: "errors",
        wanted: "continue, remount-ro or panic",
        field: Fields::ERRORS,
        apply_fn: |text, params| {
            let index = ERRORS.iter().position(|name| *name == text)?;
            params.errors = u16::try_from(index + 1).ok()?;
            Some(())
        },
        show_fn: |params| {
            let index = usize::from(params.errors).checked_sub(1);
            let name = index.and_then(|index| ERRORS.get(index));
            name.map_or_else(|| params.errors.to_string(), |name| (*name).to_owned())
        },
    },
    Key {
        name: "mount-count",
        wanted: "a number up to 65535",
        field: Fields::MOUNT_COUNT,
        apply_fn: |text, params| set(text, &mut params.mount_count),
        show_fn: |params| params.mount_count.to_string(),
    },
    Key {
        name: "max-mount-count",
        wanted: "a number up to 65535, which is never",
        field: Fields::MAX_MOUNT_COUNT,
        apply_fn: |text, params| set(text, &mut params.max_mount_count),
        show_fn: |params| params.max_mount_count.to_string(),
    },
    Key {
        name: "check-interval",
        wanted: "seconds; 0 is never",
        field: Fields::CHECK_INTERVAL,
        apply_fn: |text, params| set(text, &mut params.check_interval),
        show_fn: |params| params.check_interval.to_string(),
    },
    Key {
        name: "last-check",
        wanted: "seconds since 1970",
        field: Fields::LAST_CHECK,
        apply_fn: |text, params| set(text, &mut params.last_check),
        show_fn: |params| params.last_check.to_string(),
    },
    Key {
        name: "reserved-blocks",
        wanted: "a number of blocks",
        field: Fields::RESERVED_BLOCKS,
        apply_fn: |text, params| set(text, &mut params.reserved_blocks),
        show_fn: |params| params.reserved_blocks.to_string(),
    },
    Key {
        name: "reserved-uid",
        wanted: "the number of a user",
        field: Fields::RESERVED_UID,
        apply_fn: |text, params| set(text, &mut params.reserved_uid),
        show_fn: |params| params.reserved_uid.to_string(),
    },
    Key {
        name: "reserved-gid",
        wanted: "the number of a group",
        field: Fields::RESERVED_GID,
        apply_fn: |text, params| set(text, &mut params.reserved_gid),
        show_fn: |params| params.reserved_gid.to_string(),
    },
    Key {
        name: "raid-stride",
        wanted: "a number of blocks up to 65535",
        field: Fields::RAID_STRIDE,
        apply_fn: |text, params| set(text, &mut params.raid_stride),
        show_fn: |params| params.raid_stride.to_string(),
    },
    Key {
        name: "raid-stripe-width",
        wanted: "a number of blocks",
        field: Fields::RAID_STRIPE_WIDTH,
        apply_fn: |text, params| set(text, &mut params.raid_stripe_width),
        show_fn: |params| params.raid_stripe_width.to_string(),
    },
    Key {
        name: "mount-options",
        wanted: "mount options of at most 63 bytes, separated by commas",
        field: Fields::MOUNT_OPTIONS,
        apply_fn: |text, params| {
            let mut options = [0; MOUNT_OPTIONS_BYTES];
            let (place, nul) = options.split_at_mut_checked(text.len())?;
            if nul.is_empty() || text.contains('\0') {
                return None;
            }
            place.copy_from_slice(text.as_bytes());
            params.mount_options = options;
            Some(())
        },
        show_fn: TuneParams::stored_mount_options,
    },
];

/// Names of [`KEYS`], for messages.
const NAMES: [&str; 11] = [
    "errors",
    "mount-count",
    "max-mount-count",
    "check-interval",
    "last-check",
    "reserved-blocks",
    "reserved-uid",
    "reserved-gid",
    "raid-stride",
    "raid-stripe-width",
    "mount-options",
];

fn set<T: std::str::FromStr>(text: &str, place: &mut T) -> Option<()> {
    *place = text.parse().ok()?;
    Some(())
}

/// A parameter and its new value, which is one of those it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    key: usize,
    value: String,
}

impl Setting {
    /// Reads `KEY=VALUE`.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::BadValue`], [`Error::Casefold`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name == "casefold" || (name == "features" && value.contains("casefold")) {
            return Err(Error::Casefold);
        }
        let known = KEYS.iter().enumerate().find(|(_, key)| key.name == name);
        let (index, key) = known.ok_or_else(|| Error::UnknownKey {
            key: name.to_owned(),
            known: &NAMES,
        })?;
        let setting = Self {
            key: index,
            value: value.to_owned(),
        };
        let applied = (key.apply_fn)(value, &mut TuneParams::default());
        applied.ok_or_else(|| Error::BadValue {
            key: key.name,
            value: value.to_owned(),
            wanted: key.wanted,
        })?;
        Ok(setting)
    }

    /// Puts the value where it goes, and gives its parameter.
    pub(crate) fn apply(&self, params: &mut TuneParams) -> Option<&'static Key> {
        let key = KEYS.get(self.key)?;
        (key.apply_fn)(&self.value, params)?;
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_keys() {
        assert_eq!(KEYS.map(|key| key.name), NAMES);
    }

    #[test]
    fn values_that_do_not_fit_are_told_with_what_does() {
        for wrong in [
            "errors=ignore",
            "mount-count=65536",
            "reserved-uid=-1",
            "mount-count=",
        ] {
            let error = Setting::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("it takes"), "{error}");
        }
        let long = format!("mount-options={}", "o".repeat(64));
        assert!(matches!(Setting::parse(&long), Err(Error::BadValue { .. })));
        assert!(Setting::parse(&long[..long.len() - 1]).is_ok());
        assert_eq!(Setting::parse("casefold"), Err(Error::Casefold));
        let unknown = Setting::parse("label=x").unwrap_err().to_string();
        assert!(unknown.contains("reserved-uid"), "{unknown}");
    }
}
