//! Memory in which sessions of the v4 series are handed over (`luo_session_fdt_setup()`).

use kho::{Kho, KhoError, KhoMem, PhysAddr};

use super::layout::SessionsFdt;
use crate::boot_error::BootError;
use crate::errno::Errno;

/// Bytes of one session.
pub(super) const ENTRY_BYTES: u64 = 80;

/// Memory of a handover: the FDT and the entries.
#[derive(Clone, Copy)]
pub(super) struct Handover {
    pub(super) fdt: PhysAddr,
    pub(super) entries: Option<PhysAddr>,
    pub(super) count: u64,
}

impl Handover {
    /// `luo_session_fdt_setup()`.
    pub(super) fn create<M: KhoMem>(kho: &mut Kho<M>, count: u64) -> Result<Self, Errno> {
        let page_bytes = u64::try_from(kho.memory().page_size().bytes()).unwrap_or(u64::MAX);
        let bytes = count.checked_mul(ENTRY_BYTES).ok_or(Errno::E2BIG)?;
        let pgcnt = bytes.div_ceil(page_bytes);
        let entries = match pgcnt {
            0 => None,
            _ => Some(kho.alloc_preserve(bytes)?),
        };
        let handover = kho.alloc_preserve(page_bytes).map(|fdt| Self {
            fdt,
            entries,
            count,
        });
        let handover = match (handover, entries) {
            (Err(error), Some(entries)) => {
                kho.unpreserve_free(entries)?;
                return Err(error.into());
            }
            (handover, _) => handover?,
        };
        let fdt = SessionsFdt {
            count,
            data: entries.map_or(0, |entries| entries.0),
            pgcnt,
        };
        let memory = kho.memory_mut();
        memory
            .write(handover.fdt, &fdt.to_bytes())
            .map_err(KhoError::from)?;
        Ok(handover)
    }

    /// What the kernel before made.
    pub(super) fn read<M: KhoMem>(kho: &Kho<M>, fdt: PhysAddr) -> Result<Self, BootError> {
        let page = kho.memory().read_page(fdt).map_err(KhoError::from)?;
        let SessionsFdt { count, data, .. } = SessionsFdt::read(&page)?;
        let entries = (count != 0).then_some(PhysAddr(data));
        Ok(Self {
            fdt,
            entries,
            count,
        })
    }

    /// Gives up what was received.
    pub(super) fn free_received<M: KhoMem>(self, kho: &mut Kho<M>) {
        // Memory that nobody preserved is a warning in the kernel.
        kho.restore_free(self.fdt).ok();
        if let Some(entries) = self.entries {
            kho.restore_free(entries).ok();
        }
    }

    /// Gives up what was made.
    pub(super) fn give_up<M: KhoMem>(self, kho: &mut Kho<M>) {
        // Both were allocated here, and the handover is open.
        kho.unpreserve_free(self.fdt).ok();
        if let Some(entries) = self.entries {
            kho.unpreserve_free(entries).ok();
        }
    }
}

/// Where an entry is.
pub(super) fn entry_at(entries: PhysAddr, index: u64) -> Option<PhysAddr> {
    entries.checked_add(index.checked_mul(ENTRY_BYTES)?)
}
