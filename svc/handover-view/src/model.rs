//! What is shown.
//!
//! Addresses and tokens are strings like `0x5cc000`: many readers of JSON have no integers of 64
//! bits. Sizes are numbers of bytes.

use serde::Serialize;

/// A handover.
#[derive(Clone, Debug, Default, Serialize)]
pub struct View {
    /// Where it was read from.
    pub source: String,
    /// Address of the root FDT.
    pub root: String,
    /// Scratch; absent when it is not known.
    pub scratch: Option<Vec<Area>>,
    /// Where this boot came from; absent when nothing says so.
    pub metadata: Option<Metadata>,
    /// Number of the live update this handover is for; absent without LUO.
    pub liveupdate_num: Option<u64>,
    /// Subtrees, the newest first.
    pub subtrees: Vec<Subtree>,
    /// Sessions, in the order they were created.
    pub sessions: Vec<Session>,
    /// Objects shared by files.
    pub flbs: Vec<Flb>,
    /// Regions of `reserve_mem=`.
    pub regions: Vec<Region>,
    /// Crash and shutdown logs of `pstore_kho`; absent when nobody handed over any.
    pub pstore: Option<Pstore>,
    /// Sums.
    pub totals: Totals,
    /// Preserved memory by owner, ascending; neighbours of one owner are one.
    pub extents: Vec<Extent>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Memory in the source: start and length; for the picture.
    #[serde(skip)]
    pub memory: Vec<(u64, u64)>,
}

/// A range of memory.
#[derive(Clone, Debug, Serialize)]
pub struct Area {
    /// Its first byte.
    pub addr: String,
    /// Its length.
    pub bytes: u64,
}

/// Kexec metadata.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    /// Release of the kernel that wrote the handover.
    pub release: String,
    /// Kexec boots since the cold boot, the coming one included.
    pub kexec_count: u32,
}

/// A subtree.
#[derive(Clone, Debug, Serialize)]
pub struct Subtree {
    /// Its name.
    pub name: String,
    /// Its blob; absent when the FDT does not say.
    pub addr: Option<String>,
    /// Bytes of the blob; absent when the FDT does not say.
    pub bytes: Option<u64>,
}

/// A session.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// Its name.
    pub name: String,
    /// Files it says it has.
    pub count: u64,
    /// Its files, in the order they were preserved.
    pub files: Vec<File>,
}

/// A file.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Its token.
    pub token: String,
    /// Its handler.
    pub handler: String,
    /// The handler's word.
    pub data: String,
    /// What a memfd is; absent for other files, and when it cannot be read.
    pub memfd: Option<Memfd>,
}

/// A memfd.
#[derive(Clone, Debug, Serialize)]
pub struct Memfd {
    /// File size.
    pub size_bytes: u64,
    /// File position.
    pub pos_bytes: u64,
    /// Its seals, as `fcntl(2)` names them.
    pub seals: Vec<String>,
    /// Blocks its content is in, by order.
    pub blocks: Vec<Block>,
}

/// Blocks of one order.
#[derive(Clone, Debug, Serialize)]
pub struct Block {
    /// Binary logarithm of a block's pages.
    pub order: u32,
    /// How many.
    pub count: u64,
}

/// An object shared by files.
#[derive(Clone, Debug, Serialize)]
pub struct Flb {
    /// Its name.
    pub name: String,
    /// Its owner's word.
    pub data: String,
    /// Files that depend on it.
    pub count: u64,
}

/// A region of `reserve_mem=`.
#[derive(Clone, Debug, Serialize)]
pub struct Region {
    /// Its label.
    pub label: String,
    /// Its first byte.
    pub addr: String,
    /// Its length.
    pub bytes: u64,
}

/// Crash and shutdown logs.
#[derive(Clone, Debug, Serialize)]
pub struct Pstore {
    /// Version of their layout.
    pub version: u32,
    /// Bytes that each record can have.
    pub capacity_bytes: usize,
    /// The records there are.
    pub records: Vec<PstoreRecord>,
}

/// What is said of a log.
#[derive(Clone, Debug, Serialize)]
pub struct PstoreRecord {
    /// Where it is: `crash` or `shutdown`.
    pub slot: &'static str,
    /// Why it was written: `panic`, `oops`, `emergency` or `shutdown`.
    pub reason: &'static str,
    /// Which dump of that boot it is, from 1.
    pub count: i32,
    /// Which part of its dump, from 1; part 1 has the newest lines.
    pub part: u32,
    /// Bytes of the text as it is stored.
    pub size_bytes: u64,
    /// Whether it is stored as a raw deflate stream.
    pub is_compressed: bool,
    /// When it was written, in seconds since 1970.
    pub time_sec: i64,
    /// And nanoseconds.
    pub time_nsec: u32,
}

/// Sums.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Preserved bytes.
    pub preserved_bytes: u64,
    /// Preserved blocks, by order.
    pub blocks: Vec<Block>,
    /// Pages of the tree that names them.
    pub tree_nodes: u64,
    /// Sessions.
    pub sessions: u64,
    /// Files.
    pub files: u64,
    /// Bytes of memfds by their sizes.
    pub memfd_bytes: u64,
    /// Preserved bytes of nobody that is known here.
    pub unknown_bytes: u64,
    /// Problems; more than are listed when there are very many.
    pub problems: u64,
}

/// Preserved memory of one owner.
#[derive(Clone, Debug, Serialize)]
pub struct Extent {
    /// Its first byte.
    pub addr: String,
    /// Its length.
    pub bytes: u64,
    /// `root`, `luo`, `memfd-table`, `memfd`, `reserve-mem` or `unknown`.
    pub owner: &'static str,
    #[serde(skip)]
    pub(crate) start: u64,
}

/// Something wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// What Linux does: `odd`, `loss`, `no-sessions`, `cold-boot`, `corruption` or `panic`.
    pub consequence: &'static str,
    /// What is wrong, and where.
    pub message: String,
}
