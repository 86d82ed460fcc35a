//! What can be wrong with a handover, and what comes of it.

use alloc::string::String;

use kho::block::BlockError;
use kho::{KhoError, MemError, Order, PhysAddr, RadixError, RootFdtError, SubtreeError};
use kho_abi::pstore::{BlobError, RecordError, Slot};

/// What Linux 7.3 does when it meets a problem; the worst is last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consequence {
    /// Nothing, as far as is known; it is not what Linux writes.
    Odd,
    /// One file or region is lost, or comes back wrong.
    Loss,
    /// `/dev/liveupdate` answers `EIO`: every session is lost.
    NoSessions,
    /// The next kernel boots as if there were no handover: everything is lost.
    ColdBoot,
    /// Memory that was preserved is overwritten, or used twice.
    Corruption,
    /// The next kernel panics.
    Panic,
}

impl Consequence {
    /// A short name: `odd`, `loss`, `no-sessions`, `cold-boot`, `corruption`, `panic`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Odd => "odd",
            Self::Loss => "loss",
            Self::NoSessions => "no-sessions",
            Self::ColdBoot => "cold-boot",
            Self::Corruption => "corruption",
            Self::Panic => "panic",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The root is not in memory.
    #[error("the root FDT is not in memory: {0}")]
    NoRoot(MemError),
    /// The root.
    #[error("{0}")]
    Root(RootFdtError),
    /// The tree of preserved memory.
    #[error("{0}")]
    Tree(RadixError),
    /// Two blocks share memory.
    #[error("the block at {addr} of order {} overlaps another one", order.0)]
    Overlap {
        /// The smaller one, or the later one.
        addr: PhysAddr,
        /// Its order.
        order: Order,
    },
    /// A block is in scratch.
    #[error("the block at {addr} of order {} is in scratch", order.0)]
    InScratch {
        /// The block.
        addr: PhysAddr,
        /// Its order.
        order: Order,
    },
    /// A node of the tree is in scratch.
    #[error("the node of the tree at {addr} is in scratch")]
    NodeInScratch {
        /// The node.
        addr: PhysAddr,
    },
    /// A node of the tree is in a preserved block; the kernel reuses it as free memory or leaves
    /// it reserved, whichever comes first.
    #[error("the node of the tree at {addr} is in a preserved block")]
    NodePreserved {
        /// The node.
        addr: PhysAddr,
    },
    /// A block is not memory.
    #[error("the block at {addr} of order {} is not memory", order.0)]
    NotMemory {
        /// The block.
        addr: PhysAddr,
        /// Its order.
        order: Order,
    },
    /// A subtree lacks something.
    #[error("{0}")]
    Subtree(SubtreeError),
    /// A blob is shorter than what should be in it.
    #[error("the blob of {name} has {found_bytes} bytes, {expected_bytes} are needed")]
    BlobSize {
        /// The subtree.
        name: &'static str,
        /// Bytes it has.
        found_bytes: u64,
        /// Bytes it needs.
        expected_bytes: u64,
    },
    /// Something that is used is not preserved: the next kernel may have used its memory.
    #[error("{what} at {addr} is not preserved")]
    NotPreserved {
        /// What it is.
        what: &'static str,
        /// Where.
        addr: PhysAddr,
    },
    /// A blob is longer than its block.
    #[error("the blob of \"{name}\" at {addr} has {bytes} bytes, its block {block_bytes}")]
    BlobBlock {
        /// The subtree.
        name: String,
        /// Where.
        addr: PhysAddr,
        /// Bytes of the blob.
        bytes: u64,
        /// Bytes of the block.
        block_bytes: u64,
    },
    /// Something cannot be read.
    #[error("{what} cannot be read: {error}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Why.
        error: MemError,
    },
    /// Two things claim one block.
    #[error("{what} at {addr} is used twice")]
    UsedTwice {
        /// What it is in its second use.
        what: &'static str,
        /// Where.
        addr: PhysAddr,
    },
    /// LUO's state is of another version.
    #[error(
        "the state of LUO is \"{found}\", supported is \"{}\"",
        kho_abi::luo::COMPATIBLE
    )]
    LuoVersion {
        /// What it says it is.
        found: String,
    },
    /// The table of sessions.
    #[error("the table of sessions: {0}")]
    Sessions(BlockError),
    /// A session's name.
    #[error("session {index} has no proper name: it is empty, or has no end")]
    SessionName {
        /// Its place.
        index: u64,
    },
    /// Two sessions have one name.
    #[error("two sessions are named \"{name}\"")]
    SessionTwice {
        /// The name.
        name: String,
    },
    /// A session's table of files.
    #[error("the table of files of session \"{session}\": {error}")]
    Files {
        /// Its name.
        session: String,
        /// What is wrong.
        error: BlockError,
    },
    /// A session has more or fewer files than it says.
    #[error("session \"{session}\" says {expected} files, its table has {found}")]
    FileCount {
        /// Its name.
        session: String,
        /// What it says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// A session says it has files and has no table: the kernel warns and gives it none.
    #[error("session \"{session}\" says {expected} files and has no table of them")]
    NoFiles {
        /// Its name.
        session: String,
        /// What it says.
        expected: u64,
    },
    /// A handler's name.
    #[error("file {token:#x} of session \"{session}\" has no proper handler name")]
    HandlerName {
        /// The session.
        session: String,
        /// The file.
        token: u64,
    },
    /// A handler that is not known here. A kernel that does not know it either answers every
    /// opening of `/dev/liveupdate` with `EIO`.
    #[error("file {token:#x} of session \"{session}\" is for the handler \"{handler}\"")]
    Handler {
        /// The session.
        session: String,
        /// The file.
        token: u64,
        /// The handler.
        handler: String,
    },
    /// Two files have one token; only the first can be retrieved.
    #[error("two files of session \"{session}\" have the token {token:#x}")]
    TokenTwice {
        /// The session.
        session: String,
        /// The token.
        token: u64,
    },
    /// A memfd.
    #[error("file {token:#x} of session \"{session}\": {problem}")]
    Memfd {
        /// The session.
        session: String,
        /// The file.
        token: u64,
        /// What is wrong.
        problem: MemfdProblem,
    },
    /// The page of FLBs.
    #[error("the page of FLBs at {addr} says {pages} pages and {count} entries")]
    Flbs {
        /// Where.
        addr: PhysAddr,
        /// Pages it says; 1 is right.
        pages: u64,
        /// Entries it says; 63 at most.
        count: u64,
    },
    /// Kexec metadata of another version: ignored.
    #[error("the kexec metadata are of version {found}")]
    MetadataVersion {
        /// The version.
        found: u32,
    },
    /// The blob of crash and shutdown logs: `pstore_kho` shows none of them.
    #[error("the crash and shutdown logs: {0}")]
    Pstore(BlobError),
    /// One of its records: `pstore_kho` does not show it.
    #[error("the {} log: {error}", slot.name())]
    PstoreRecord {
        /// Which.
        slot: Slot,
        /// What is wrong.
        error: RecordError,
    },
    /// The FDT of `reserve_mem=` regions.
    #[error("the FDT of reserve_mem regions: {0}")]
    Memblock(String),
}

/// What can be wrong with a memfd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemfdProblem {
    /// Its header cannot be read.
    #[error("its header: {0}")]
    Header(MemError),
    /// Its header, table or content is not preserved.
    #[error("{what} at {addr} is not preserved")]
    NotPreserved {
        /// What.
        what: &'static str,
        /// Where.
        addr: PhysAddr,
    },
    /// Something of it is claimed by two.
    #[error("{what} at {addr} is used twice")]
    UsedTwice {
        /// What.
        what: &'static str,
        /// Where.
        addr: PhysAddr,
    },
    /// Seals the kernel cannot set: `EOPNOTSUPP`.
    #[error("unknown seals {0:#x}")]
    Seals(u32),
    /// Flags that should be 0; the kernel does not look.
    #[error("flags {0:#x} that should be 0")]
    Flags(u32),
    /// An empty file with folios.
    #[error("it has no size but {0} folios")]
    EmptyWithFolios(u64),
    /// The table of folios.
    #[error("its table of folios: {0}")]
    Table(KhoError),
    /// The table is shorter than the folios that should be in it.
    #[error("its table has {found_bytes} bytes, {folios} folios do not fit")]
    TableSize {
        /// Bytes it has.
        found_bytes: u64,
        /// Folios it should have.
        folios: u64,
    },
    /// A folio is behind the end of the file, or before the one before it.
    #[error("folio {number} is at page {index} of the file: out of order or behind its end")]
    Index {
        /// Its place in the table.
        number: u64,
        /// Page of the file.
        index: u64,
    },
    /// Entries of the table that name nothing; the kernel skips them.
    #[error("{0} entries of its table name no folio")]
    Skipped(u64),
    /// Pages of the file without a folio: they come back as zeros. Linux fills holes before it
    /// hands a file over.
    #[error("{0} pages of it have no folio")]
    Holes(u64),
    /// Folios that are not marked as filled; the kernel zeroes them.
    #[error("{0} folios are not marked up to date: their content is dropped")]
    NotUptodate(u64),
}

impl Problem {
    /// What comes of it in Linux 7.3.
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::NoRoot(_) | Self::Root(_) => Consequence::ColdBoot,
            // The kernel checks nothing of the tree: it reads where the addresses lead.
            Self::Tree(_) | Self::NotMemory { .. } => Consequence::Panic,
            Self::Overlap { .. }
            | Self::InScratch { .. }
            | Self::NodeInScratch { .. }
            | Self::NodePreserved { .. }
            | Self::NotPreserved { .. }
            | Self::BlobBlock { .. }
            | Self::UsedTwice { .. } => Consequence::Corruption,
            Self::BlobSize { name, .. } if *name == kho_abi::luo::ENTRY_NAME => Consequence::Panic,
            Self::Subtree(SubtreeError::Incomplete { name, .. })
                if name == kho_abi::luo::ENTRY_NAME =>
            {
                Consequence::Panic
            }
            Self::LuoVersion { .. } | Self::Sessions(_) => Consequence::Panic,
            Self::SessionTwice { .. }
            | Self::Files { .. }
            | Self::FileCount { .. }
            | Self::HandlerName { .. } => Consequence::NoSessions,
            Self::Subtree(_)
            | Self::BlobSize { .. }
            | Self::Unreadable { .. }
            | Self::SessionName { .. }
            | Self::NoFiles { .. }
            | Self::TokenTwice { .. }
            | Self::Flbs { .. }
            | Self::Pstore(_)
            | Self::PstoreRecord { .. }
            | Self::Memblock(_) => Consequence::Loss,
            Self::Memfd { problem, .. } => problem.consequence(),
            Self::MetadataVersion { .. } | Self::Handler { .. } => Consequence::Odd,
        }
    }
}

impl MemfdProblem {
    fn consequence(&self) -> Consequence {
        match self {
            // The kernel reads as many entries as the header says.
            Self::NotPreserved { .. } | Self::UsedTwice { .. } | Self::TableSize { .. } => {
                Consequence::Corruption
            }
            Self::Flags(_) | Self::Skipped(_) | Self::Holes(_) | Self::EmptyWithFolios(_) => {
                Consequence::Odd
            }
            Self::Header(_)
            | Self::Seals(_)
            | Self::Table(_)
            | Self::Index { .. }
            | Self::NotUptodate(_) => Consequence::Loss,
        }
    }
}
