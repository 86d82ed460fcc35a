//! Content of a file that was received.

use alloc::vec;
use alloc::vec::Vec;

use kho::{Kho, KhoError, KhoMem, Order, Pfn, PhysAddr, vmalloc};
use kho_abi::kexec_handover::Vmalloc;
use kho_abi::memfd::{FolioFlags, FolioSer};
use zerocopy::{FromZeros, IntoBytes};

use super::folios::page_bytes;
use crate::errno::Errno;
use crate::shmem::ShmemFiles;

const ENTRY_BYTES: u64 = 16;
const _: () = assert!(size_of::<FolioSer>() == 16);
/// Bytes copied at once.
const CHUNK_BYTES: u64 = 0x1_0000;

struct Folio {
    /// Where in the file it starts.
    offset: u64,
    addr: PhysAddr,
    bytes: u64,
    /// It has content; the kernel zeroes one that has none when it is read.
    is_uptodate: bool,
}

/// Folios that were received, by their place in the file.
pub(super) struct Content {
    folios: Vec<Folio>,
    /// What is wrong with them.
    error: Option<Errno>,
}

impl Content {
    pub(super) const fn empty() -> Self {
        Self {
            folios: Vec::new(),
            error: None,
        }
    }

    /// Takes the folios over: all that can be restored, whatever is wrong with others, so that
    /// none is lost for the machine. [`Content::copy_to`] tells what was wrong.
    ///
    /// # Errors
    /// [`Errno::EINVAL`]: there is no list of folios.
    pub(super) fn restore<M: KhoMem>(
        kho: &mut Kho<M>,
        descriptor: &Vmalloc,
        count: u64,
    ) -> Result<Self, Errno> {
        check_pages(kho, descriptor)?;
        let array = kho.restore_vmalloc(descriptor).or(Err(Errno::EINVAL))?;
        let mut content = Self::empty();
        for index in 0..count {
            let mut entry = FolioSer::new_zeroed();
            let at = index.saturating_mul(ENTRY_BYTES);
            // The kernel reads on behind the end of the list.
            if array.read(kho.memory(), at, entry.as_mut_bytes()).is_err() {
                content.error = content.error.or(Some(Errno::EINVAL));
                break;
            }
            if entry.pfn() != 0
                && let Err(errno) = content.restore_one(kho, &entry)
            {
                content.error = content.error.or(Some(errno));
            }
        }
        kho.vfree(&array);
        content.sort();
        Ok(content)
    }

    fn restore_one<M: KhoMem>(&mut self, kho: &mut Kho<M>, entry: &FolioSer) -> Result<(), Errno> {
        let page_size = kho.memory().page_size();
        let addr = Pfn(entry.pfn()).addr(page_size).ok_or(Errno::EIO)?;
        let order: Order = kho.restore_folio(addr).or(Err(Errno::EIO))?;
        let bytes = order.bytes(page_size).unwrap_or(u64::MAX);
        // An index behind the largest file is one behind the end of this file.
        let offset = entry.index.saturating_mul(page_bytes(kho));
        let is_aligned = entry.index.is_multiple_of(order.pages().unwrap_or(1));
        self.folios.push(Folio {
            offset,
            addr,
            bytes,
            is_uptodate: entry.flags().contains(FolioFlags::UPTODATE),
        });
        // A large folio is aligned in its file: `shmem_add_to_page_cache()` has it as a bug.
        if is_aligned {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn sort(&mut self) {
        self.folios.sort_by_key(|folio| folio.offset);
        let mut end = 0;
        for folio in &self.folios {
            if folio.offset < end {
                self.error = self.error.or(Some(Errno::EEXIST));
            }
            end = folio.offset.saturating_add(folio.bytes);
        }
    }

    /// Copies everything into a new file. Zeros are left as holes.
    ///
    /// # Errors
    /// [`Errno::EIO`] when a folio was not handed over, [`Errno::EINVAL`] and [`Errno::EEXIST`] when
    /// one cannot be where it is said to be; what the world answers.
    pub(super) fn copy_to<M: KhoMem, W: ShmemFiles>(
        &self,
        kho: &Kho<M>,
        files: &mut W,
        file: &W::File,
        size: u64,
    ) -> Result<(), Errno> {
        if let Some(errno) = self.error {
            return Err(errno);
        }
        let mut buffer = vec![0; usize::try_from(CHUNK_BYTES).unwrap_or(0)];
        for folio in self.folios.iter().filter(|folio| folio.is_uptodate) {
            let end = folio.offset.saturating_add(folio.bytes).min(size);
            let mut at = folio.offset;
            while at < end {
                let until = end.min(at.saturating_add(CHUNK_BYTES));
                let len = usize::try_from(until.saturating_sub(at)).unwrap_or(0);
                let bytes = buffer.get_mut(..len).ok_or(Errno::EINVAL)?;
                let addr = folio.addr.checked_add(at.saturating_sub(folio.offset));
                let addr = addr.ok_or(Errno::EINVAL)?;
                kho.memory().read(addr, bytes).map_err(KhoError::from)?;
                if bytes.iter().any(|&byte| byte != 0) {
                    files.write_at(file, at, bytes)?;
                }
                at = until;
            }
        }
        Ok(())
    }

    /// Gives the folios back to the machine.
    pub(super) fn free<M: KhoMem>(self, kho: &mut Kho<M>) {
        for folio in self.folios {
            kho.free_folio(folio.addr);
        }
    }
}

/// Checks that every part of the list starts with a page: only such a part can be freed again.
fn check_pages<M: KhoMem>(kho: &Kho<M>, descriptor: &Vmalloc) -> Result<(), Errno> {
    let page_size = kho.memory().page_size();
    for chunk in vmalloc::chunks(kho.memory(), descriptor) {
        let chunk = chunk?;
        let mut pages = core::iter::once(&chunk.addr).chain(&chunk.blocks);
        if !pages.all(|page| page.is_page_aligned(page_size)) {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}
