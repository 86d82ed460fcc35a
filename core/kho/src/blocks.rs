//! Preserving and restoring blocks: folios, runs of pages, memory of one's own.
//!
//! Source: `kernel/liveupdate/kexec_handover.c`, v7.3. The kernel warns where these answer with
//! [`KhoError::NotPreserved`].

use alloc::vec::Vec;

use crate::engine::{Kho, KhoMem};
use crate::error::KhoError;
use crate::key::Key;
use crate::phys::{Order, Pfn, PhysAddr};

/// Largest block of the page allocator: `MAX_PAGE_ORDER`.
pub const MAX_PAGE_ORDER: Order = Order(10);

impl<M: KhoMem> Kho<M> {
    /// Allocates a block, as a folio of the page allocator. It is not preserved.
    ///
    /// # Errors
    /// [`KhoError::NoMemory`].
    pub fn alloc_folio(&mut self, order: Order) -> Result<PhysAddr, KhoError> {
        let addr = self.mem.alloc_block(order);
        let addr = addr.ok_or(KhoError::NoMemory { order })?;
        self.blocks.insert(addr, order);
        Ok(addr)
    }

    /// Frees a block of this boot: allocated by it, or restored.
    ///
    /// # Panics
    /// When no block of this boot starts there.
    pub fn free_folio(&mut self, addr: PhysAddr) {
        let order = self.blocks.remove(&addr);
        let order = order.unwrap_or_else(|| unreachable!("{addr} is no block of this boot"));
        self.mem.free_block(addr, order);
    }

    /// Order of a block of this boot.
    pub fn folio_order(&self, addr: PhysAddr) -> Option<Order> {
        self.blocks.get(&addr).copied()
    }

    /// Preserves a block of this boot: `kho_preserve_folio()`. Once is enough, and one
    /// [`Kho::unpreserve_folio`] takes all of them back.
    ///
    /// # Errors
    /// [`KhoError::NotPreserved`] for an address where no block of this boot starts;
    /// [`KhoError::Scratch`] as with `CONFIG_KEXEC_HANDOVER_DEBUG`; no memory for the tree.
    pub fn preserve_folio(&mut self, addr: PhysAddr) -> Result<(), KhoError> {
        self.ensure_open()?;
        let order = self.own(addr)?;
        let key = Key::new(addr, order, self.mem.page_size())?;
        self.ensure_outside_scratch(addr, self.bytes(order))?;
        Ok(self.tree.add(&mut self.mem, key)?)
    }

    /// Takes a preservation back: `kho_unpreserve_folio()`. One that was not made is no error.
    ///
    /// # Errors
    /// [`KhoError::Finalized`] (KHO v1); [`KhoError::NotPreserved`] for an address where no block
    /// of this boot starts.
    pub fn unpreserve_folio(&mut self, addr: PhysAddr) -> Result<(), KhoError> {
        self.ensure_open()?;
        let order = self.own(addr)?;
        self.delete(addr, order)
    }

    /// Preserves `pages` pages from `addr` in naturally aligned blocks: `kho_preserve_pages()`.
    ///
    /// # Errors
    /// As [`Kho::preserve_folio`]; then nothing is preserved.
    pub fn preserve_pages(&mut self, addr: PhysAddr, pages: u64) -> Result<(), KhoError> {
        self.ensure_open()?;
        let blocks = self.split(addr, pages, Nodes::Respected)?;
        let bytes = pages.saturating_mul(self.bytes(Order(0)));
        self.ensure_outside_scratch(addr, bytes)?;
        for (at, &(start, order)) in blocks.iter().enumerate() {
            let added = Key::new(start, order, self.mem.page_size())
                .map_err(KhoError::from)
                .and_then(|key| Ok(self.tree.add(&mut self.mem, key)?));
            if let Err(error) = added {
                for &(start, order) in blocks.iter().take(at) {
                    self.delete(start, order)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes [`Kho::preserve_pages`] back; start and count must be the same.
    ///
    /// # Errors
    /// [`KhoError::Finalized`] (KHO v1).
    pub fn unpreserve_pages(&mut self, addr: PhysAddr, pages: u64) -> Result<(), KhoError> {
        self.ensure_open()?;
        for (start, order) in self.split(addr, pages, Nodes::Respected)? {
            self.delete(start, order)?;
        }
        Ok(())
    }

    /// A zeroed, preserved block of at least this many bytes: `kho_alloc_preserve()`.
    ///
    /// # Errors
    /// [`KhoError::Empty`]; [`KhoError::TooBig`] above [`MAX_PAGE_ORDER`]; no memory.
    pub fn alloc_preserve(&mut self, size_bytes: u64) -> Result<PhysAddr, KhoError> {
        let page_bytes = self.bytes(Order(0));
        let pages = size_bytes.div_ceil(page_bytes);
        if pages == 0 {
            return Err(KhoError::Empty);
        }
        let order = Order(
            pages
                .checked_next_power_of_two()
                .map_or(64, u64::trailing_zeros),
        );
        if order > MAX_PAGE_ORDER {
            return Err(KhoError::TooBig { size_bytes });
        }
        let addr = self.alloc_folio(order)?;
        if let Err(error) = self.preserve_folio(addr) {
            self.free_folio(addr);
            return Err(error);
        }
        Ok(addr)
    }

    /// Takes [`Kho::alloc_preserve`] back: `kho_unpreserve_free()`.
    ///
    /// # Errors
    /// [`KhoError::Finalized`] (KHO v1); [`KhoError::NotPreserved`].
    pub fn unpreserve_free(&mut self, addr: PhysAddr) -> Result<(), KhoError> {
        self.unpreserve_folio(addr)?;
        self.free_folio(addr);
        Ok(())
    }

    /// Makes a received block one of this boot: `kho_restore_folio()`.
    ///
    /// # Errors
    /// [`KhoError::NotPreserved`]: no received block starts there, or it was restored already.
    pub fn restore_folio(&mut self, addr: PhysAddr) -> Result<Order, KhoError> {
        let order = self.stamps.remove(&addr);
        let order = order.ok_or(KhoError::NotPreserved { addr })?;
        self.blocks.insert(addr, order);
        Ok(order)
    }

    /// Makes received pages single pages of this boot: `kho_restore_pages()`.
    ///
    /// # Errors
    /// [`KhoError::NotPreserved`]: they were not preserved as [`Kho::preserve_pages`] does. Unlike
    /// in Linux, then none of them is restored.
    pub fn restore_pages(&mut self, addr: PhysAddr, pages: u64) -> Result<(), KhoError> {
        let nodes = if self.config.defects.restore_ignores_nodes {
            Nodes::Ignored
        } else {
            Nodes::Respected
        };
        let blocks = self.split(addr, pages, nodes)?;
        for &(addr, order) in &blocks {
            if self.stamps.get(&addr) != Some(&order) {
                return Err(KhoError::NotPreserved { addr });
            }
        }
        let page_bytes = self.bytes(Order(0));
        for (addr, order) in blocks {
            self.stamps.remove(&addr);
            let mut page = addr;
            for _ in 0..order.pages().unwrap_or(0) {
                self.blocks.insert(page, Order(0));
                page = PhysAddr(page.0.saturating_add(page_bytes));
            }
        }
        Ok(())
    }

    /// Frees a received block: `kho_restore_free()`.
    ///
    /// # Errors
    /// [`KhoError::NotPreserved`].
    pub fn restore_free(&mut self, addr: PhysAddr) -> Result<(), KhoError> {
        self.restore_folio(addr)?;
        self.free_folio(addr);
        Ok(())
    }

    /// Bytes of a received block that nobody has restored yet.
    pub fn received_bytes(&self, addr: PhysAddr) -> Option<u64> {
        self.stamps.get(&addr).map(|&order| self.bytes(order))
    }

    fn own(&self, addr: PhysAddr) -> Result<Order, KhoError> {
        self.folio_order(addr)
            .ok_or(KhoError::NotPreserved { addr })
    }

    pub(crate) fn bytes(&self, order: Order) -> u64 {
        order.bytes(self.mem.page_size()).unwrap_or(u64::MAX)
    }

    fn delete(&mut self, addr: PhysAddr, order: Order) -> Result<(), KhoError> {
        let key = Key::new(addr, order, self.mem.page_size())?;
        self.tree.del(&mut self.mem, key)?;
        Ok(())
    }

    fn ensure_outside_scratch(&self, addr: PhysAddr, bytes: u64) -> Result<(), KhoError> {
        if self.scratch.overlap(addr, bytes) {
            return Err(KhoError::Scratch { addr, bytes });
        }
        Ok(())
    }

    /// Cuts a run of pages into naturally aligned blocks, each on one NUMA node:
    /// `__kho_preserve_pages_order()`.
    fn split(
        &self,
        addr: PhysAddr,
        pages: u64,
        nodes: Nodes,
    ) -> Result<Vec<(PhysAddr, Order)>, KhoError> {
        let page_size = self.mem.page_size();
        let out = KhoError::NotPreserved { addr };
        if !addr.is_page_aligned(page_size) {
            return Err(out);
        }
        let mut pfn = addr.pfn(page_size).0;
        let end = pfn.checked_add(pages).ok_or_else(|| out.clone())?;
        let node_starts = match nodes {
            Nodes::Respected => &*self.config.node_starts,
            Nodes::Ignored => &[],
        };
        let mut blocks = Vec::new();
        while let Some(largest) = end.saturating_sub(pfn).checked_ilog2() {
            let mut order = pfn.trailing_zeros().min(largest);
            let cut = |order| {
                let last = pfn.saturating_add(low_ones(order));
                node_starts
                    .iter()
                    .map(|start| start.pfn(page_size).0)
                    .any(|start| pfn < start && start <= last)
            };
            while order > 0 && cut(order) {
                order = order.saturating_sub(1);
            }
            let block = Pfn(pfn).addr(page_size).ok_or_else(|| out.clone())?;
            blocks.push((block, Order(order)));
            pfn = pfn.saturating_add(low_ones(order)).saturating_add(1);
        }
        Ok(blocks)
    }
}

#[derive(Clone, Copy)]
enum Nodes {
    Respected,
    Ignored,
}

/// 2^bits - 1.
fn low_ones(bits: u32) -> u64 {
    1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1)
}
