//! A handover as bytes at addresses.

use alloc::vec::Vec;

use kho::{
    FdtError, MemError, Order, PageSize, PhysAddr, PhysMem as _, RadixError, RadixTree, RootFdt,
    RootFdtError, ScratchAreas, SparseMemory, Visit,
};

use crate::span::{PAGE, Span};

/// Memory of the handover: some bytes, then zeros.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// First byte; a page.
    pub addr: PhysAddr,
    /// What is there.
    pub bytes: &'a [u8],
    /// Length in whole pages; what `bytes` does not fill is zeros.
    pub len_bytes: u64,
}

/// A handover: what is in memory, and what the next kernel is told about it.
///
/// Everything is here that the next kernel takes from it: the FDT, the tree, each preserved block.
/// What is not here is whatever the memory held before.
#[derive(Clone, Debug)]
pub struct Handover<'a> {
    /// Page of the KHO FDT.
    pub fdt: PhysAddr,
    /// The scratch areas.
    pub scratch: &'a ScratchAreas,
    /// The memory.
    pub content: Vec<Content<'a>>,
}

/// Why a handover cannot be taken out of a memory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The page of the FDT is not memory.
    #[error(transparent)]
    Memory(#[from] MemError),
    /// The FDT.
    #[error(transparent)]
    Root(#[from] RootFdtError),
    /// The tree.
    #[error(transparent)]
    Tree(#[from] RadixError),
    /// A block is longer than memory can be.
    #[error("the preserved block at {addr} of order {} ends past the address space", order.0)]
    Endless {
        /// Its first byte.
        addr: PhysAddr,
        /// Its order.
        order: Order,
    },
}

impl From<FdtError> for CollectError {
    fn from(error: FdtError) -> Self {
        Self::Root(error.into())
    }
}

impl<'a> Handover<'a> {
    /// Takes a handover out of the memory it was composed in: the FDT's page, the nodes of its tree
    /// and every preserved block. What else is in that memory is left behind.
    ///
    /// # Errors
    /// [`CollectError`]: the FDT or the tree cannot be read.
    pub fn collect(
        memory: &'a SparseMemory,
        fdt: PhysAddr,
        scratch: &'a ScratchAreas,
    ) -> Result<Self, CollectError> {
        let root = RootFdt::read(&memory.read_page(fdt)?)?;
        let page = |addr: PhysAddr| Span::new(addr, PAGE);
        let mut spans = Vec::from_iter(page(fdt));
        for visit in RadixTree::at(root.memory_map).visit(memory) {
            match visit? {
                Visit::Node(addr) => spans.extend(page(addr)),
                Visit::Key(key) => {
                    let (addr, order) = key.block(PageSize::Size4K);
                    let bytes = order.bytes(PageSize::Size4K);
                    let span = bytes.and_then(|bytes| Span::new(addr, bytes));
                    spans.push(span.ok_or(CollectError::Endless { addr, order })?);
                }
            }
        }
        // The FDT's page is preserved as well; blocks that overlap otherwise are left to preflight.
        spans.sort_unstable();
        spans.dedup();
        Ok(Self {
            fdt,
            scratch,
            content: fill(&spans, memory),
        })
    }
}

/// Joins each range with what was written to it.
fn fill<'a>(spans: &[Span], memory: &'a SparseMemory) -> Vec<Content<'a>> {
    let mut written = memory.written_pages().peekable();
    let mut all = Vec::new();
    for span in spans {
        // Zeros up to the first page that was written, if any.
        let mut piece = Content {
            addr: PhysAddr(span.start),
            bytes: &[],
            len_bytes: 0,
        };
        while written.next_if(|(addr, _)| addr.0 < span.start).is_some() {}
        while let Some((addr, bytes)) = written.next_if(|(addr, _)| addr.0 < span.end) {
            piece.len_bytes = addr.0.saturating_sub(piece.addr.0);
            if piece.len_bytes != 0 {
                all.push(piece);
            }
            piece = Content {
                addr,
                bytes,
                len_bytes: 0,
            };
        }
        piece.len_bytes = span.end.saturating_sub(piece.addr.0);
        all.push(piece);
    }
    all
}
