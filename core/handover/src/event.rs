//! What an observer is told.

use alloc::string::String;

use kho::memblock::Region;
use kho::{Order, PageSize, PhysAddr, RootFdt};
use kho_abi::memfd::Seals;
use kho_abi::pstore::RecordSer;

use crate::problem::Problem;

/// Something that was read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The root; first.
    Root(&'a RootFdt),
    /// The kexec metadata.
    Metadata {
        /// Release of the kernel that wrote this.
        release: &'a str,
        /// Kexec boots since the cold boot, the coming one included.
        kexec_count: u32,
    },
    /// A region of `reserve_mem=`.
    Region(&'a Region),
    /// Crash and shutdown logs; the records follow.
    Pstore {
        /// Bytes that each record can have.
        capacity_bytes: usize,
    },
    /// A record of them.
    PstoreRecord(&'a RecordSer),
    /// LUO's root.
    Luo {
        /// Live updates since the cold boot, the coming one included.
        liveupdate_num: u64,
    },
    /// A session; its files follow.
    Session(&'a Session),
    /// A file of the last session.
    File(&'a File),
    /// An object shared by files.
    Flb(&'a Flb),
    /// Preserved memory: as long a run as one owner has in a row.
    Extent {
        /// Its first byte.
        addr: PhysAddr,
        /// Its length.
        bytes: u64,
        /// To whom it belongs.
        owner: Owner,
    },
    /// Something is wrong.
    Problem(&'a Problem),
    /// Sums; last.
    Totals(&'a Totals),
}

/// To whom preserved memory belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Owner {
    /// The root FDT and the blobs of subtrees.
    Root,
    /// LUO's own tables.
    Luo,
    /// What describes a memfd: its header, the array of its folios, the chunks that name it.
    MemfdTable,
    /// Content of memfds.
    Memfd,
    /// Regions of `reserve_mem=`.
    ReserveMem,
    /// Nothing that is known here: another subsystem's, or forgotten.
    Unknown,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Place in the table, from 0.
    pub index: u64,
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Files it says it has.
    pub files: u64,
}

/// A file of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Place in the session, from 0.
    pub index: u64,
    /// Its token.
    pub token: u64,
    /// Name of its handler.
    pub handler: String,
    /// The handler's word.
    pub data: u64,
    /// What the handler `memfd-v2` has there, as far as it could be read.
    pub memfd: Option<Memfd>,
}

/// A preserved memfd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memfd {
    /// Where its header is.
    pub header: PhysAddr,
    /// File size in bytes.
    pub size_bytes: u64,
    /// File position in bytes.
    pub pos_bytes: u64,
    /// Seals.
    pub seals: Seals,
    /// Folios, by order.
    pub orders: Orders,
}

/// How many blocks there are of each order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders([u64; 53]);

impl Default for Orders {
    fn default() -> Self {
        Self([0; 53])
    }
}

impl Orders {
    /// Counts one more.
    pub fn count(&mut self, order: Order) {
        self.add(order, 1);
    }

    pub(crate) fn add(&mut self, order: Order, blocks: u64) {
        let slot = usize::try_from(order.0).ok();
        if let Some(slot) = slot.and_then(|slot| self.0.get_mut(slot)) {
            *slot = slot.saturating_add(blocks);
        }
    }

    /// Orders there are blocks of, with their number; ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Order, u64)> {
        (0_u32..)
            .zip(self.0)
            .filter(|&(_, blocks)| blocks != 0)
            .map(|(order, blocks)| (Order(order), blocks))
    }

    /// Blocks of all orders.
    pub fn blocks(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum: u64, &blocks| sum.saturating_add(blocks))
    }

    /// Bytes of all blocks.
    pub fn bytes(&self, page_size: PageSize) -> u64 {
        self.iter().fold(0, |sum: u64, (order, blocks)| {
            let bytes = order.bytes(page_size).unwrap_or(u64::MAX);
            sum.saturating_add(bytes.saturating_mul(blocks))
        })
    }
}

/// An object shared by files: "file-lifecycle-bound".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flb {
    /// Its name.
    pub name: String,
    /// Its owner's word.
    pub data: u64,
    /// Files that depend on it.
    pub count: u64,
}

/// Sums over a handover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Preserved blocks, by order.
    pub preserved: Orders,
    /// Pages of the tree.
    pub tree_nodes: u64,
    /// Sessions.
    pub sessions: u64,
    /// Files.
    pub files: u64,
    /// Memfds among them.
    pub memfds: u64,
    /// Bytes of memfds by their sizes.
    pub memfd_bytes: u64,
    /// Preserved bytes that belong to nothing that is known here.
    pub unknown_bytes: u64,
    /// Problems.
    pub problems: u64,
}
