//! The content of a preserved memfd.

use alloc::vec;
use alloc::vec::Vec;

use kho::vmalloc::{self, Chunk};
use kho::{Key, KhoError, Leaf, MemError, Order, Pfn, PhysAddr, PhysMem, RadixTree};
use kho_abi::memfd::{FolioSer, MemfdSer};
use zerocopy::FromBytes as _;

/// What stops content from being read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The table of folios.
    #[error("the table of folios: {0}")]
    Table(#[from] KhoError),
    /// Memory that is not there.
    #[error(transparent)]
    Memory(#[from] MemError),
    /// A folio that is not preserved.
    #[error("the folio at {addr} is not preserved")]
    NotPreserved {
        /// Where.
        addr: PhysAddr,
    },
    /// A folio that is behind the end of the file.
    #[error("the folio at {addr} is for page {index}, behind the end of the file")]
    BehindEnd {
        /// Where.
        addr: PhysAddr,
        /// Page of the file.
        index: u64,
    },
}

/// The folios of a memfd, as pieces of the file.
#[derive(Debug)]
pub struct Content {
    /// File size in bytes.
    pub size_bytes: u64,
    /// Pieces in the order of the table; what is in none is zeros.
    pub pieces: Vec<Piece>,
}

/// Part of a file that is in one folio, or in several that lie in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the file in bytes.
    pub offset: u64,
    /// Where it is in memory.
    pub addr: PhysAddr,
    /// Its length, cut at the end of the file.
    pub bytes: u64,
}

impl Content {
    /// Reads the table of the memfd whose header is at `header`, with the orders that `tree` has.
    ///
    /// # Errors
    /// [`ContentError`]: all of it can be read, or nothing.
    pub fn read(
        mem: &impl PhysMem,
        tree: RadixTree,
        header: PhysAddr,
    ) -> Result<Self, ContentError> {
        let ser: MemfdSer = mem.read_value(header)?;
        let mut content = Self {
            size_bytes: ser.size,
            pieces: Vec::new(),
        };
        let mut orders = BlockOrders::new(tree);
        if ser.nr_folios != 0 {
            let mut left = ser.nr_folios;
            for chunk in vmalloc::chunks(mem, &ser.folios) {
                content.chunk(
                    mem,
                    &mut orders,
                    &chunk?,
                    ser.folios.order.into(),
                    &mut left,
                )?;
            }
            if left != 0 {
                return Err(ContentError::Table(KhoError::VmallocPages {
                    found: ser.folios.total_pages.into(),
                    expected: ser.nr_folios,
                }));
            }
        }
        Ok(content)
    }

    fn chunk(
        &mut self,
        mem: &impl PhysMem,
        orders: &mut BlockOrders,
        chunk: &Chunk,
        order: u32,
        left: &mut u64,
    ) -> Result<(), ContentError> {
        let page_bytes = mem.page_size().bytes();
        let mut page = vec![0; page_bytes];
        for &block in &chunk.blocks {
            let mut addr = block;
            for _ in 0..Order(order).pages().unwrap_or(0) {
                if *left == 0 {
                    return Ok(());
                }
                mem.read(addr, &mut page)?;
                let entries = page.chunks_exact(size_of::<FolioSer>());
                for entry in entries.take(usize::try_from(*left).unwrap_or(usize::MAX)) {
                    *left = left.saturating_sub(1);
                    if let Ok(entry) = FolioSer::read_from_bytes(entry) {
                        self.folio(mem, orders, &entry)?;
                    }
                }
                let next = u64::try_from(page_bytes).unwrap_or(u64::MAX);
                addr = PhysAddr(addr.0.saturating_add(next));
            }
        }
        Ok(())
    }

    fn folio(
        &mut self,
        mem: &impl PhysMem,
        orders: &mut BlockOrders,
        entry: &FolioSer,
    ) -> Result<(), ContentError> {
        if entry.pfn() == 0 {
            return Ok(());
        }
        let page_size = mem.page_size();
        let addr = Pfn(entry.pfn()).addr(page_size);
        let addr = addr.unwrap_or(PhysAddr(u64::MAX));
        let order = orders.of(mem, addr)?;
        let index = entry.index;
        let offset = index.checked_mul(Order(0).bytes(page_size).unwrap_or(1));
        let offset = offset.filter(|&offset| offset < self.size_bytes);
        let offset = offset.ok_or(ContentError::BehindEnd { addr, index })?;
        let bytes = order.bytes(page_size).unwrap_or(u64::MAX);
        let bytes = bytes.min(self.size_bytes.saturating_sub(offset));
        if let Some(last) = self.pieces.last_mut()
            && last.offset.checked_add(last.bytes) == Some(offset)
            && last.addr.checked_add(last.bytes) == Some(addr)
        {
            last.bytes = last.bytes.saturating_add(bytes);
            return Ok(());
        }
        self.pieces.push(Piece {
            offset,
            addr,
            bytes,
        });
        Ok(())
    }
}

/// Finds the order of preserved blocks, with the leaves that were looked at last in hand: folios of a
/// file often lie in a row.
struct BlockOrders {
    tree: RadixTree,
    /// The last leaf for each order: its first key, and what is in it.
    leaves: Vec<(u64, Option<Leaf>)>,
}

impl BlockOrders {
    const fn new(tree: RadixTree) -> Self {
        Self {
            tree,
            leaves: Vec::new(),
        }
    }

    /// The order of the block that starts at `addr`.
    fn of(&mut self, mem: &impl PhysMem, addr: PhysAddr) -> Result<Order, ContentError> {
        let page_size = mem.page_size();
        let low = u64::MAX.wrapping_shr(64_u32.saturating_sub(page_size.radix_bitmap_bits()));
        for order in (0..).map(Order) {
            let key = Key::new(addr, order, page_size);
            let key = key.map_err(|_none| ContentError::NotPreserved { addr })?;
            let slot = usize::try_from(order.0).unwrap_or(usize::MAX);
            if self.leaves.len() <= slot {
                // No key is 0, so this is nobody's first key.
                self.leaves.push((u64::MAX, None));
            }
            let Some((first_key, leaf)) = self.leaves.get_mut(slot) else {
                break;
            };
            if *first_key != key.word() & !low {
                *leaf = self.tree.leaf(mem, key).map_err(KhoError::from)?;
                *first_key = key.word() & !low;
            }
            if leaf.as_ref().is_some_and(|leaf| leaf.contains(key)) {
                return Ok(order);
            }
        }
        Err(ContentError::NotPreserved { addr })
    }
}
