//! The chain of kexec boots: who hands over, and how often that has happened.
//!
//! Source: `kho_in_kexec_metadata()`, `kho_out_kexec_metadata()`
//! (`kernel/liveupdate/kexec_handover.c`, v7.3).

use alloc::string::String;

use kho_abi::kexec_metadata::{KexecMetadata, NODE_NAME, VERSION};
use zerocopy::{FromZeros as _, IntoBytes as _};

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

impl<M: KhoMem> Kho<M> {
    /// What was received; `None` after a cold boot, and for another version, which the kernel
    /// ignores as well.
    pub fn received_metadata(&self) -> Option<&Metadata> {
        self.received_metadata.as_ref()
    }

    pub(crate) fn read_metadata(&self) -> Option<Metadata> {
        let (addr, bytes) = self.retrieve_subtree(NODE_NAME).ok()?;
        let version: u32 = (bytes >= 4).then(|| self.mem.read_value(addr).ok())??;
        let whole = u64::try_from(size_of::<KexecMetadata>()).ok()?;
        if version != VERSION || bytes < whole {
            return None;
        }
        let metadata: KexecMetadata = self.mem.read_value(addr).ok()?;
        let release = metadata.previous_release.split(|&byte| byte == 0).next()?;
        Some(Metadata {
            previous_release: String::from_utf8_lossy(release).into_owned(),
            kexec_count: metadata.kexec_count.get(),
        })
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
