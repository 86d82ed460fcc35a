//! The content of a preserved memfd.

use alloc::vec;
use alloc::vec::Vec;

use kho::vmalloc::{self, Chunk};
use kho::{Key, KhoError, MemError, Order, Pfn, PhysAddr, PhysMem, RadixTree};
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

/// Part of a file that is in one folio.
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
        if ser.nr_folios != 0 {
            let mut left = ser.nr_folios;
            for chunk in vmalloc::chunks(mem, &ser.folios) {
                content.chunk(mem, tree, &chunk?, ser.folios.order.into(), &mut left)?;
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
        tree: RadixTree,
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
                        self.folio(mem, tree, &entry)?;
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
        tree: RadixTree,
        entry: &FolioSer,
    ) -> Result<(), ContentError> {
        if entry.pfn() == 0 {
            return Ok(());
        }
        let page_size = mem.page_size();
        let addr = Pfn(entry.pfn()).addr(page_size);
        let addr = addr.unwrap_or(PhysAddr(u64::MAX));
        let mut order = Order(0);
        loop {
            let key = Key::new(addr, order, page_size);
            let key = key.map_err(|_none| ContentError::NotPreserved { addr })?;
            if tree.contains(mem, key).map_err(KhoError::from)? {
                break;
            }
            order = Order(order.0.saturating_add(1));
        }
        let index = entry.index;
        let offset = index.checked_mul(Order(0).bytes(page_size).unwrap_or(1));
        let offset = offset.filter(|&offset| offset < self.size_bytes);
        let offset = offset.ok_or(ContentError::BehindEnd { addr, index })?;
        let bytes = order.bytes(page_size).unwrap_or(u64::MAX);
        self.pieces.push(Piece {
            offset,
            addr,
            bytes: bytes.min(self.size_bytes.saturating_sub(offset)),
        });
        Ok(())
    }
}
