//! The kernel's side of a handover: what one boot preserves and what it was given.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kho_abi::kexec_metadata;

use crate::error::KhoError;
use crate::mem::{BlockAlloc, MemError, PhysMemMut};
use crate::metadata::Metadata;
use crate::phys::{Order, PhysAddr};
use crate::radix::{RadixError, RadixTree, Visit};
use crate::root_fdt::{RootFdt, RootFdtError, Subtree, SubtreeError};
use crate::scratch::{Area, ScratchAreas};

/// Memory a handover can be made in and received from.
pub trait KhoMem: PhysMemMut + BlockAlloc {}
impl<T: PhysMemMut + BlockAlloc> KhoMem for T {}

/// What the boot code of the next kernel is told: where to start reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// The page with the root FDT.
    pub fdt: PhysAddr,
    /// The only memory the next kernel may use before it has read the rest.
    pub scratch: Vec<Area>,
}

/// When a handover is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// Always: it is what it is at the jump (Linux 7.2 and 7.3).
    #[default]
    Stateless,
    /// When it was finalized, until it is aborted: KHO v1 (Linux 6.16 to 6.18). The memory map is
    /// today's in either case.
    Finalize,
}

/// Known defects of Linux that are avoided unless asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KhoDefects {
    /// `kho_restore_pages()` forgets that blocks were cut at the borders of NUMA nodes, and fails.
    pub restore_ignores_nodes: bool,
    /// A scratch area of no size inside a block counts as an overlap.
    pub empty_scratch_overlaps: bool,
    /// The file `out/fdt` of debugfs is there after a cold boot only, and as long as the FDT was
    /// when the kernel had added its own subtree: of later ones it shows a part.
    pub stale_debugfs: bool,
    /// The FDT and the kexec metadata that were received are kept for as long as the kernel runs,
    /// though both are read once (`kho_in_kexec_metadata()`, `kho_init()`).
    pub keeps_received: bool,
}

impl KhoDefects {
    /// As in Linux 7.3.4.
    pub const LINUX_7_3_4: Self = Self {
        restore_ignores_nodes: true,
        empty_scratch_overlaps: true,
        stale_debugfs: true,
        keeps_received: true,
    };
}

/// How a machine is started.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// When the handover is complete.
    pub lifecycle: Lifecycle,
    /// Defects to reproduce.
    pub defects: KhoDefects,
    /// First addresses of the NUMA nodes, but for the first one, ascending.
    pub node_starts: Vec<PhysAddr>,
}

/// How a boot began.
#[derive(Debug, PartialEq, Eq)]
pub enum Boot {
    /// There was nothing to receive.
    Cold,
    /// A handover was received.
    Handover,
    /// There was something that cannot be used: the machine starts as if there were nothing, and
    /// all of it is lost.
    Refused(BootError),
}

/// Why a handover was not received. Linux warns and boots as if there were none for the first;
/// it does not look for the others, and fails later in other ways.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The root FDT.
    #[error(transparent)]
    Root(#[from] RootFdtError),
    /// The memory map.
    #[error(transparent)]
    Map(#[from] RadixError),
    /// The FDT or a preserved block is outside memory.
    #[error(transparent)]
    Memory(#[from] MemError),
    /// Two preserved blocks overlap.
    #[error("the preserved blocks at {addr} and {other} overlap")]
    Overlap {
        /// The later one.
        addr: PhysAddr,
        /// The one it overlaps.
        other: PhysAddr,
    },
    /// A preserved block or a node of the map is in scratch, which the kernel has used by now.
    #[error("a preserved block at {addr} of order {} is in scratch", order.0)]
    Scratch {
        /// The block.
        addr: PhysAddr,
        /// Its order.
        order: Order,
    },
}

/// One boot: memory, what it was given and what it will give.
///
/// An address of a block stands for what the kernel has a pointer to.
#[derive(Debug)]
pub struct Kho<M> {
    pub(crate) mem: M,
    pub(crate) config: Config,
    pub(crate) scratch: ScratchAreas,
    /// Blocks this boot has from its allocator, or has restored: `folio_order()`.
    pub(crate) blocks: BTreeMap<PhysAddr, Order>,
    /// Blocks of the boot before that nobody has restored: the stamps in `struct page`.
    pub(crate) stamps: BTreeMap<PhysAddr, Order>,
    incoming: Option<RootFdt>,
    pub(crate) received_metadata: Option<Metadata>,
    pub(crate) tree: RadixTree,
    fdt_page: PhysAddr,
    root: RootFdt,
    pub(crate) finalized: bool,
}

impl<M: KhoMem> Kho<M> {
    /// Starts a machine; with a handoff, receives what is in its memory by the rules of
    /// `kho_populate()` and `kho_memory_init()` and by those Linux should have: every block is
    /// memory, and none is in scratch.
    ///
    /// # Errors
    /// [`KhoError::NoMemory`]: not even the pages of an empty handover.
    pub fn start(
        mut mem: M,
        scratch: ScratchAreas,
        handoff: Option<&Handoff>,
        config: Config,
    ) -> Result<(Self, Boot), KhoError> {
        let scratch = if config.defects.empty_scratch_overlaps {
            scratch.with_empty_overlaps()
        } else {
            scratch
        };
        let mut stamps = BTreeMap::new();
        let (boot, incoming) = match handoff.map(|handoff| receive(&mut mem, handoff, &mut stamps))
        {
            None => (Boot::Cold, None),
            Some(Ok(root)) => (Boot::Handover, Some(root)),
            Some(Err(why)) => {
                stamps.clear();
                (Boot::Refused(why), None)
            }
        };
        let tree = RadixTree::create(&mut mem)?;
        let fdt_page = mem.alloc_page();
        let fdt_page = fdt_page.ok_or(KhoError::NoMemory { order: Order(0) })?;
        let mut kho = Self {
            mem,
            config,
            scratch,
            blocks: BTreeMap::from([(fdt_page, Order(0))]),
            stamps,
            incoming,
            received_metadata: None,
            tree,
            fdt_page,
            root: RootFdt {
                memory_map: tree.root(),
                subtrees: Vec::new(),
            },
            finalized: false,
        };
        kho.preserve_folio(fdt_page)?;
        kho.write_root()?;
        kho.received_metadata = kho.read_metadata();
        if let Some(handoff) = handoff.filter(|_| !kho.config.defects.keeps_received) {
            kho.free_received(handoff.fdt);
        }
        Ok((kho, boot))
    }

    /// Gives back what was received and is read. A blob that nobody preserved is none's to give back.
    fn free_received(&mut self, fdt: PhysAddr) {
        let metadata = self.retrieve_subtree(kexec_metadata::NODE_NAME).ok();
        for addr in metadata.map(|(addr, _)| addr).into_iter().chain([fdt]) {
            self.restore_free(addr).ok();
        }
    }

    /// What the next kernel is told when its image is loaded; `None` while the handover is not
    /// finalized.
    pub fn handoff(&self) -> Option<Handoff> {
        let complete = self.config.lifecycle == Lifecycle::Stateless || self.finalized;
        complete.then(|| Handoff {
            fdt: self.fdt_page,
            scratch: self.scratch.areas().to_vec(),
        })
    }

    /// The memory, at the jump.
    pub fn into_memory(self) -> M {
        self.mem
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.mem
    }

    /// The memory, to write to blocks one has.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.mem
    }

    /// What was received: `None` after a cold boot.
    pub fn incoming(&self) -> Option<&RootFdt> {
        self.incoming.as_ref()
    }

    /// What will be handed over.
    pub fn outgoing(&self) -> &RootFdt {
        &self.root
    }

    /// The tree of what will be handed over.
    pub fn tree(&self) -> RadixTree {
        self.tree
    }

    /// Blocks that were received and that nobody has restored: address and order, ascending.
    pub fn unclaimed(&self) -> impl Iterator<Item = (PhysAddr, Order)> {
        self.stamps.iter().map(|(&addr, &order)| (addr, order))
    }

    /// Announces a blob to the next kernel: `kho_add_subtree()`. Its pages are for the caller to
    /// preserve.
    ///
    /// # Errors
    /// [`SubtreeError::Exists`], [`SubtreeError::Full`].
    pub fn add_subtree(
        &mut self,
        name: &str,
        blob: PhysAddr,
        size_bytes: u64,
    ) -> Result<(), KhoError> {
        let page_size = self.mem.page_size();
        self.root.add(name, blob, size_bytes, page_size)?;
        self.write_root()
    }

    /// Takes back the first announcement of a blob at this address: `kho_remove_subtree()`.
    ///
    /// # Errors
    /// [`KhoError::Memory`], which memory one has does not give.
    pub fn remove_subtree(&mut self, blob: PhysAddr) -> Result<Option<Subtree>, KhoError> {
        let removed = self.root.remove(blob);
        self.write_root()?;
        Ok(removed)
    }

    /// Blob and bytes of a subtree that was received: `kho_retrieve_subtree()`.
    ///
    /// # Errors
    /// [`SubtreeError::Missing`], [`SubtreeError::Incomplete`], [`SubtreeError::NotPreserved`].
    pub fn retrieve_subtree(&self, name: &str) -> Result<(PhysAddr, u64), KhoError> {
        let found = self.incoming.as_ref().and_then(|root| root.subtree(name));
        let missing = || SubtreeError::Missing { name: name.into() };
        let (addr, bytes) = found.ok_or_else(missing)?.blob()?;
        if !self.is_received(addr, bytes) {
            return Err(KhoError::Subtree(SubtreeError::NotPreserved {
                name: name.into(),
                addr,
                bytes,
            }));
        }
        Ok((addr, bytes))
    }

    /// Whether these bytes are in one block that was received, or that this boot has by now.
    fn is_received(&self, addr: PhysAddr, bytes: u64) -> bool {
        let page_size = self.mem.page_size();
        let holds = |blocks: &BTreeMap<PhysAddr, Order>| {
            let block = blocks.range(..=addr).next_back();
            let end = block.and_then(|(start, order)| start.checked_add(order.bytes(page_size)?));
            let wanted = addr.checked_add(bytes);
            end.zip(wanted).is_some_and(|(end, wanted)| wanted <= end)
        };
        holds(&self.stamps) || holds(&self.blocks)
    }

    /// Closes the handover: `kho_finalize()` of KHO v1.
    ///
    /// # Errors
    /// [`KhoError::AlreadyFinalized`]; [`KhoError::Stateless`] in a KHO without it.
    pub fn finalize(&mut self) -> Result<(), KhoError> {
        if self.config.lifecycle == Lifecycle::Stateless {
            return Err(KhoError::Stateless);
        }
        if self.finalized {
            return Err(KhoError::AlreadyFinalized);
        }
        self.finalized = true;
        Ok(())
    }

    /// Opens it again: `kho_abort()` of KHO v1. What was preserved stays so.
    ///
    /// # Errors
    /// [`KhoError::NotFinalized`]; [`KhoError::Stateless`] in a KHO without it.
    pub fn abort(&mut self) -> Result<(), KhoError> {
        if self.config.lifecycle == Lifecycle::Stateless {
            return Err(KhoError::Stateless);
        }
        if !self.finalized {
            return Err(KhoError::NotFinalized);
        }
        self.finalized = false;
        Ok(())
    }

    pub(crate) fn ensure_open(&self) -> Result<(), KhoError> {
        if self.finalized {
            Err(KhoError::Finalized)
        } else {
            Ok(())
        }
    }

    fn write_root(&mut self) -> Result<(), KhoError> {
        let page_size = self.mem.page_size();
        let mut page = self.root.to_bytes(page_size)?;
        page.resize(page_size.bytes(), 0);
        Ok(self.mem.write(self.fdt_page, &page)?)
    }
}

/// Reads the root and takes every preserved block out of the free memory.
fn receive<M: KhoMem>(
    mem: &mut M,
    handoff: &Handoff,
    stamps: &mut BTreeMap<PhysAddr, Order>,
) -> Result<RootFdt, BootError> {
    let root = RootFdt::read(&mem.read_page(handoff.fdt)?)?;
    let scratch = ScratchAreas::new(handoff.scratch.clone());
    let page_size = mem.page_size();
    for visit in RadixTree::at(root.memory_map).visit(mem) {
        let (addr, order) = match visit? {
            Visit::Node(addr) => (addr, Order(0)),
            Visit::Key(key) => key.block(page_size),
        };
        let bytes = order.bytes(page_size).unwrap_or(u64::MAX);
        if scratch.overlap(addr, bytes) {
            return Err(BootError::Scratch { addr, order });
        }
        let Visit::Key(_) = visit? else { continue };
        // Blocks that do not overlap are no more than there are pages.
        if !mem.is_memory(addr, bytes) {
            let len_bytes = bytes;
            return Err(MemError { addr, len_bytes }.into());
        }
        let end = addr.checked_add(bytes).unwrap_or(addr);
        if let Some((&other, _)) =
            stamps
                .range(..end)
                .next_back()
                .filter(|&(&other, other_order)| {
                    let other_bytes = other_order.bytes(page_size).unwrap_or(u64::MAX);
                    other
                        .checked_add(other_bytes)
                        .is_none_or(|other_end| other_end > addr)
                })
        {
            return Err(BootError::Overlap { addr, other });
        }
        stamps.insert(addr, order);
    }
    for (&addr, &order) in &*stamps {
        mem.reserve_block(addr, order)?;
    }
    Ok(root)
}

#[cfg(test)]
mod tests;
