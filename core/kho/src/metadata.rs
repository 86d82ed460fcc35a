//! The chain of kexec boots: who hands over, and how often that has happened.
//!
//! Source: `kho_in_kexec_metadata()`, `kho_out_kexec_metadata()`
//! (`kernel/liveupdate/kexec_handover.c`, v7.3).

use alloc::string::String;

use kho_abi::kexec_metadata::{KexecMetadata, NODE_NAME, VERSION};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use crate::engine::{Kho, KhoMem};
use crate::error::KhoError;
use crate::phys::PhysAddr;

/// What a boot is told about the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Release of the kernel before; bytes that are no UTF-8 are replaced.
    pub previous_release: String,
    /// Kexec boots since the cold boot.
    pub kexec_count: u32,
}

/// In front of what the kernel says of it in its log (`kho_in_kexec_metadata()`).
const LOG_WORDS: &str = "KHO: exec from: ";

/// Why the kernel takes no notice of a blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Too short for its version, or for the rest.
    #[error("the metadata has {found} bytes, {needed} are needed")]
    TooShort {
        /// Its bytes.
        found: usize,
        /// What is needed.
        needed: usize,
    },
    /// Another version.
    #[error("the metadata is of version {found}, not {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
}

impl Metadata {
    /// Reads a blob, as debugfs shows it.
    ///
    /// # Errors
    /// [`MetadataError`], checked in the kernel's order.
    pub fn read(blob: &[u8]) -> Result<Self, MetadataError> {
        let found = blob.len();
        let too_short = |needed| MetadataError::TooShort { found, needed };
        let version = blob.first_chunk().copied().map(u32::from_ne_bytes);
        let version = version.ok_or(too_short(size_of::<u32>()))?;
        if version != VERSION {
            return Err(MetadataError::Version { found: version });
        }
        let whole = KexecMetadata::read_from_prefix(blob).ok();
        let (metadata, _) = whole.ok_or(too_short(size_of::<KexecMetadata>()))?;
        let release = metadata.previous_release.split(|&byte| byte == 0).next();
        Ok(Self {
            previous_release: String::from_utf8_lossy(release.unwrap_or_default()).into_owned(),
            kexec_count: metadata.kexec_count.get(),
        })
    }

    /// Reads what the kernel says of it in its log: `KHO: exec from: 7.3.4 (count 1)`.
    pub fn of_log_line(line: &str) -> Option<Self> {
        let (_, said) = line.split_once(LOG_WORDS)?;
        let (release, rest) = said.rsplit_once(" (count ")?;
        Some(Self {
            previous_release: release.into(),
            kexec_count: rest.strip_suffix(')')?.parse().ok()?,
        })
    }
}

impl<M: KhoMem> Kho<M> {
    /// What was received; `None` after a cold boot, and for another version, which the kernel
    /// ignores as well.
    pub fn received_metadata(&self) -> Option<&Metadata> {
        self.received_metadata.as_ref()
    }

    pub(crate) fn read_metadata(&self) -> Option<Metadata> {
        let (addr, bytes) = self.retrieve_subtree(NODE_NAME).ok()?;
        let whole = size_of::<KexecMetadata>();
        let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(whole);
        let mut blob = [0; size_of::<KexecMetadata>()];
        let blob = blob.get_mut(..length)?;
        self.mem.read(addr, blob).ok()?;
        Metadata::read(blob).ok()
    }

    /// Tells the next kernel the release of this one, cut to what fits, and one boot more than was
    /// received. Where the blob is.
    ///
    /// # Errors
    /// No memory, or the subtree is there.
    pub fn announce_metadata(&mut self, release: &str) -> Result<PhysAddr, KhoError> {
        let received = self
            .received_metadata()
            .map_or(0, |found| found.kexec_count);
        self.announce_metadata_as(release, received.wrapping_add(1))
    }

    /// As [`Kho::announce_metadata`], with a count of one's own: for a handover that is composed.
    ///
    /// # Errors
    /// No memory, or the subtree is there.
    pub fn announce_metadata_as(
        &mut self,
        release: &str,
        kexec_count: u32,
    ) -> Result<PhysAddr, KhoError> {
        let mut metadata = KexecMetadata::new_zeroed();
        metadata.version.set(VERSION);
        metadata.kexec_count.set(kexec_count);
        // The last byte stays the NUL.
        let room = metadata.previous_release.len().saturating_sub(1);
        let places = metadata.previous_release.iter_mut().take(room);
        for (to, from) in places.zip(release.bytes()) {
            *to = from;
        }
        let bytes = metadata.as_bytes();
        let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let blob = self.alloc_preserve(size_bytes)?;
        self.mem.write(blob, bytes)?;
        let added = self.add_subtree(NODE_NAME, blob, size_bytes);
        if let Err(error) = added {
            self.unpreserve_free(blob)?;
            return Err(error);
        }
        Ok(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(version: u32, release: &str, count: u32) -> [u8; 73] {
        let mut blob = [0; 73];
        blob[..4].copy_from_slice(&version.to_ne_bytes());
        blob[4..4 + release.len()].copy_from_slice(release.as_bytes());
        blob[69..].copy_from_slice(&count.to_ne_bytes());
        blob
    }

    #[test]
    fn a_blob_is_checked_in_the_kernels_order() {
        let good = blob(1, "7.2.13", 2);
        let expected = Metadata {
            previous_release: "7.2.13".into(),
            kexec_count: 2,
        };
        assert_eq!(Metadata::read(&good), Ok(expected));
        let short = |found, needed| Err(MetadataError::TooShort { found, needed });
        assert_eq!(Metadata::read(&good[..3]), short(3, 4));
        assert_eq!(Metadata::read(&good[..72]), short(72, 73));
        let newer = blob(2, "x", 1);
        assert_eq!(
            Metadata::read(&newer[..5]),
            Err(MetadataError::Version { found: 2 })
        );
    }

    #[test]
    fn the_log_says_the_same() {
        let line = "[    0.000000] KHO: exec from: 7.3.4 (rc (count 1) (count 12)";
        let found = Metadata::of_log_line(line).unwrap();
        assert_eq!(&*found.previous_release, "7.3.4 (rc (count 1)");
        assert_eq!(found.kexec_count, 12);
        for line in [
            "KHO: exec from: 7.3.4",
            "KHO: exec from: 7.3.4 (count -1)",
            "exec from: 7.3.4 (count 1)",
        ] {
            assert_eq!(Metadata::of_log_line(line), None, "{line}");
        }
    }
}
