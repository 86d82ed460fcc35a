//! Folios of a file that is preserved.

use alloc::vec;
use alloc::vec::Vec;

use kho::vmalloc::Area;
use kho::{Kho, KhoError, KhoMem, Order, PhysAddr};
use kho_abi::kexec_handover::Vmalloc;
use kho_abi::memfd::{FolioFlags, FolioSer};
use zerocopy::IntoBytes;

use super::NO_AREA;
use crate::errno::Errno;
use crate::shmem::ShmemFiles;

/// Order of the large folios: that of a huge page with pages of 4 KiB. What is left of a file is in
/// single pages, as in Linux with huge pages for shmem (`huge=within_size`).
const LARGE: Order = Order(9);
/// Bytes copied at once.
const CHUNK_BYTES: usize = 0x1_0000;

/// Bytes of a page.
pub(super) fn page_bytes<M: KhoMem>(kho: &Kho<M>) -> u64 {
    u64::try_from(kho.memory().page_size().bytes()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy)]
struct Folio {
    /// Where in the file it starts.
    offset: u64,
    addr: PhysAddr,
    bytes: u64,
}

/// All folios of a file, and the array that lists them.
pub(super) struct Folios {
    folios: Vec<Folio>,
    array: Area,
    descriptor: Vmalloc,
}

impl Folios {
    /// Allocates folios for all of a file, holes included, and preserves them.
    pub(super) fn preserve<M: KhoMem>(kho: &mut Kho<M>, size: u64) -> Result<Self, KhoError> {
        let mut folios = Self {
            folios: Vec::new(),
            array: Area::default(),
            descriptor: NO_AREA,
        };
        if size == 0 {
            return Ok(folios);
        }
        let made = folios.allocate(kho, size).and_then(|()| folios.list(kho));
        if let Err(error) = made {
            folios.free_folios(kho);
            return Err(error);
        }
        Ok(folios)
    }

    fn allocate<M: KhoMem>(&mut self, kho: &mut Kho<M>, size: u64) -> Result<(), KhoError> {
        let large_bytes = LARGE.bytes(kho.memory().page_size()).unwrap_or(u64::MAX);
        let page_bytes = page_bytes(kho);
        let mut offset = 0_u64;
        while offset < size {
            let left = size.saturating_sub(offset);
            let large = (left >= large_bytes && offset.is_multiple_of(large_bytes))
                .then(|| kho.alloc_folio(LARGE).ok())
                .flatten();
            let (addr, bytes) = match large {
                Some(addr) => (addr, large_bytes),
                None => (kho.alloc_folio(Order(0))?, page_bytes),
            };
            if let Err(error) = kho.preserve_folio(addr) {
                kho.free_folio(addr);
                return Err(error);
            }
            self.folios.push(Folio {
                offset,
                addr,
                bytes,
            });
            offset = offset.saturating_add(bytes);
        }
        Ok(())
    }

    /// Writes the array and preserves it.
    fn list<M: KhoMem>(&mut self, kho: &mut Kho<M>) -> Result<(), KhoError> {
        const ENTRY_BYTES: u64 = 16;
        let page_size = kho.memory().page_size();
        let page_bytes = page_bytes(kho);
        // Linux marks all of them: a clean folio may get dirty later.
        let flags = FolioFlags(FolioFlags::DIRTY.0 | FolioFlags::UPTODATE.0);
        let array = kho.vzalloc(self.count().saturating_mul(ENTRY_BYTES))?;
        let mut at = 0_u64;
        let mut written = Ok(());
        for folio in &self.folios {
            let index = folio.offset.checked_div(page_bytes).unwrap_or(0);
            let entry = FolioSer::new(folio.addr.pfn(page_size).0, flags, index);
            // Every page of a machine has a number of at most 52 bits.
            let entry = entry.unwrap_or(FolioSer { word: 0, index });
            written = written.and(array.write(kho.memory_mut(), at, entry.as_bytes()));
            at = at.saturating_add(ENTRY_BYTES);
        }
        let descriptor = written.map_err(KhoError::from);
        match descriptor.and_then(|()| kho.preserve_vmalloc(&array)) {
            Ok(descriptor) => {
                self.array = array;
                self.descriptor = descriptor;
                Ok(())
            }
            Err(error) => {
                kho.vfree(&array);
                Err(error)
            }
        }
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.folios.len()).unwrap_or(u64::MAX)
    }

    pub(super) const fn descriptor(&self) -> Vmalloc {
        self.descriptor
    }

    /// Takes everything back.
    pub(super) fn unpreserve<M: KhoMem>(mut self, kho: &mut Kho<M>) {
        if self.descriptor.first != 0 && kho.unpreserve_vmalloc(&self.descriptor).is_ok() {
            kho.vfree(&self.array);
        }
        self.free_folios(kho);
    }

    fn free_folios<M: KhoMem>(&mut self, kho: &mut Kho<M>) {
        for folio in self.folios.drain(..) {
            // In a handover that is finalized it stays preserved, so it must stay allocated.
            if kho.unpreserve_folio(folio.addr).is_ok() {
                kho.free_folio(folio.addr);
            }
        }
    }

    /// Copies the content of the file, which is zeros where it has none. Holes cost nothing, unless
    /// the folios were filled before.
    pub(super) fn fill<M: KhoMem, W: ShmemFiles>(
        &self,
        kho: &mut Kho<M>,
        files: &mut W,
        file: &W::File,
        size: u64,
        were_filled: bool,
    ) -> Result<(), Errno> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0_u64;
        while offset < size {
            let data = files.data(file, offset).unwrap_or(size..size);
            let start = data.start.clamp(offset, size);
            if were_filled {
                buffer.fill(0);
                self.each_part(offset, start, |addr, _, len| {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    let written = kho.memory_mut().write(addr, bytes);
                    Ok(written.map_err(KhoError::from)?)
                })?;
            }
            // Something behind `start`, whatever the world says.
            let end = data.end.min(size).max(start.saturating_add(1).min(size));
            self.each_part(start, end, |addr, at, len| {
                let bytes = buffer.get_mut(..len).unwrap_or_default();
                files.read_at(file, at, bytes)?;
                let written = kho.memory_mut().write(addr, bytes);
                Ok(written.map_err(KhoError::from)?)
            })?;
            offset = end;
        }
        Ok(())
    }

    /// Parts of a range of the file that are in one folio and not too large: address, offset in the
    /// file, bytes.
    fn each_part(
        &self,
        start: u64,
        end: u64,
        mut do_fn: impl FnMut(PhysAddr, u64, usize) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let first = self.folios.partition_point(|folio| folio.end() <= start);
        let mut at = start;
        for folio in self.folios.iter().skip(first) {
            while at < end && at < folio.end() {
                let chunk = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
                let until = end.min(folio.end()).min(at.saturating_add(chunk));
                let addr = folio.addr.checked_add(at.saturating_sub(folio.offset));
                let len = usize::try_from(until.saturating_sub(at)).unwrap_or(0);
                do_fn(addr.ok_or(Errno::EINVAL)?, at, len)?;
                at = until;
            }
            if at >= end {
                break;
            }
        }
        Ok(())
    }
}

impl Folio {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }
}
