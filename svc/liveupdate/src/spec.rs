//! What a memfd should be like.

use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate};

use crate::error::Error;

/// Seals of a memfd, `F_SEAL_*` of `include/uapi/linux/fcntl.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seals(SealFlags);

impl Seals {
    /// None: the size may change while nothing is preserved.
    pub const NONE: Self = Self(SealFlags::empty());
    /// `F_SEAL_SHRINK | F_SEAL_GROW`: the size never changes, so a mapping never faults.
    pub const FIXED_SIZE: Self = Self(SealFlags::SHRINK.union(SealFlags::GROW));

    /// From the kernel's bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(SealFlags::from_bits_retain(bits))
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u32 {
        self.0.bits()
    }

    /// The seals of a file.
    ///
    /// # Errors
    /// The file has none to ask for: it is no memfd or tmpfs file.
    pub fn of(file: impl AsFd) -> Result<Self, Error> {
        let seals = fcntl_get_seals(file);
        seals.map(Self).map_err(|errno| Error::Memfd {
            call: "fcntl(F_GET_SEALS)",
            errno,
        })
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0.contains(other.0)
    }
}

/// A memfd as a program wants it: of this size when it is made, of an understood schema when it
/// was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemfdSpec {
    size_bytes: u64,
    is_any_size: bool,
    seals: Seals,
    schemas: RangeInclusive<u32>,
    required: Requirement,
}

/// Whether an item may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Requirement {
    Required,
    Optional,
}

impl MemfdSpec {
    /// A memfd of this size, sealed to it, schema 0, required.
    pub const fn new(size_bytes: u64) -> Self {
        Self {
            size_bytes,
            is_any_size: false,
            seals: Seals::FIXED_SIZE,
            schemas: 0..=0,
            required: Requirement::Required,
        }
    }

    /// Version of what the program stores in it; only this one is understood.
    #[must_use]
    pub const fn schema(self, schema: u32) -> Self {
        self.schemas(schema..=schema)
    }

    /// Versions the program understands; what it makes anew has the last.
    #[must_use]
    pub const fn schemas(mut self, schemas: RangeInclusive<u32>) -> Self {
        self.schemas = schemas;
        self
    }

    /// Seals of a new memfd; one that was kept keeps its own.
    #[must_use]
    pub const fn seals(mut self, seals: Seals) -> Self {
        self.seals = seals;
        self
    }

    /// A kept memfd may have any size; the size is only that of a new one.
    #[must_use]
    pub const fn any_size(mut self) -> Self {
        self.is_any_size = true;
        self
    }

    /// Its loss over a jump is named in the report and is no error there. A kernel that refuses to
    /// preserve it still cancels the update: that is known in time.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.required = Requirement::Optional;
        self
    }

    pub(crate) const fn is_required(&self) -> bool {
        matches!(self.required, Requirement::Required)
    }

    /// Schema of a new memfd.
    pub(crate) const fn newest_schema(&self) -> u32 {
        *self.schemas.end()
    }

    /// Checks a kept memfd against this spec.
    pub(crate) fn check(&self, item: &str, schema: u32, size_bytes: u64) -> Result<(), Error> {
        if !self.schemas.contains(&schema) {
            let (first, last) = (self.schemas.start(), self.schemas.end());
            let wanted = if first == last {
                first.to_string()
            } else {
                format!("{first} to {last}")
            };
            return Err(Error::Schema {
                item: item.to_owned(),
                kept: schema,
                wanted,
            });
        }
        if !self.is_any_size && size_bytes != self.size_bytes {
            let wanted = self.size_bytes;
            return Err(Error::Size {
                item: item.to_owned(),
                kept: size_bytes,
                wanted,
            });
        }
        Ok(())
    }

    /// Makes a new memfd.
    pub(crate) fn create(&self, name: &str) -> Result<OwnedFd, Error> {
        let memfd = luo_sys::create_memfd(name).map_err(|errno| Error::Memfd {
            call: "memfd_create",
            errno,
        })?;
        ftruncate(&memfd, self.size_bytes).map_err(|errno| Error::Memfd {
            call: "ftruncate",
            errno,
        })?;
        fcntl_add_seals(&memfd, self.seals.0).map_err(|errno| Error::Memfd {
            call: "fcntl(F_ADD_SEALS)",
            errno,
        })?;
        Ok(memfd)
    }
}

/// Bytes of a file.
pub(crate) fn size_of(file: impl AsFd) -> Result<u64, Error> {
    let stat = fstat(file).map_err(|errno| Error::Memfd {
        call: "fstat",
        errno,
    })?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_memfd_has_its_size_for_ever() {
        let memfd = MemfdSpec::new(8192).create("m").unwrap();
        assert_eq!(size_of(&memfd).unwrap(), 8192);
        assert!(ftruncate(&memfd, 4096).is_err());
        assert!(Seals::of(&memfd).unwrap().contains(Seals::FIXED_SIZE));
    }

    #[test]
    fn a_kept_memfd_of_another_schema_or_size_is_refused() {
        let spec = MemfdSpec::new(4096).schemas(2..=3);
        assert!(spec.check("m", 2, 4096).is_ok());
        let error = spec.check("m", 4, 4096).unwrap_err();
        assert!(matches!(error, Error::Schema { kept: 4, .. }), "{error}");
        let error = spec.check("m", 3, 1).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Size {
                    kept: 1,
                    wanted: 4096,
                    ..
                }
            ),
            "{error}"
        );
        assert!(spec.any_size().check("m", 3, 1).is_ok());
    }
}
