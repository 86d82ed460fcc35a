//! Flattened device trees as `libfdt` lays them out.
//!
//! Reading is dtoolkit's; writing is here, because a handover must come out byte for byte as the
//! kernel's would: `fdt_create()` and `fdt_setprop()` leave the string table in an order of their
//! own (`scripts/dtc/libfdt/fdt_sw.c` and `fdt_rw.c`, v7.3).
//!
//! Property *values* of KHO are integers in the machine's own byte order, and only 4-byte aligned.

use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::error::FdtParseError;
use dtoolkit::fdt::Fdt;

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;
const LAST_COMPATIBLE_VERSION: u32 = 16;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const END: u32 = 9;
/// Header of version 17.
const HEADER_BYTES: usize = 40;
/// One reservation of two zeros: the end of an empty list.
const RESERVATIONS_BYTES: usize = 16;

/// Which of libfdt's two writers laid an FDT out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `fdt_create()` and what follows: the list of reservations is aligned to its entries.
    Sequential,
    /// `fdt_pack()` after changes in place: everything follows the header at once.
    Packed,
}

/// A node to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name; empty for the root.
    pub name: String,
    /// Properties in the order they are written.
    pub properties: Vec<(String, Vec<u8>)>,
    /// Children in the order they are written.
    pub children: Vec<Self>,
}

impl Node {
    /// A node with no content.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The node with one more property.
    #[must_use]
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// The tree under this node as an FDT without room to grow. The string table starts with `strings`, in that
    /// order; others follow as they are met.
    pub fn to_fdt(&self, strings: &[&str], layout: Layout) -> Vec<u8> {
        let mut writer = Writer::default();
        for name in strings {
            writer.string_offset(name);
        }
        writer.node(self);
        writer.word(END);
        writer.finish(layout)
    }
}

/// Reads the FDT at the start of `bytes`, which may go on behind it.
///
/// # Errors
/// [`FdtError`].
pub fn read(bytes: &[u8]) -> Result<Fdt<'_>, FdtError> {
    let word = |offset: usize| -> Option<u32> {
        let bytes = bytes.get(offset..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let magic = word(0).ok_or(FdtError::Truncated {
        found: bytes.len(),
        total: HEADER_BYTES,
    })?;
    if magic != MAGIC {
        return Err(FdtError::Magic { found: magic });
    }
    let total = word(4).and_then(|total| usize::try_from(total).ok());
    let total = total.unwrap_or(usize::MAX);
    let whole = bytes.get(..total).ok_or(FdtError::Truncated {
        found: bytes.len(),
        total,
    })?;
    Ok(Fdt::new(whole)?)
}

/// Bytes that are no FDT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FdtError {
    /// The first word is another one.
    #[error("no FDT: magic {found:#x} instead of {MAGIC:#x}")]
    Magic {
        /// What is there.
        found: u32,
    },
    /// Its header claims more than there is. The file `out/fdt` of debugfs is like this once a
    /// subtree was added: its length is that of the boot (Linux 7.3).
    #[error("the FDT is cut off: {found} of {total} bytes")]
    Truncated {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        total: usize,
    },
    /// It is damaged inside.
    #[error("the FDT is damaged: {0}")]
    Damaged(FdtParseError),
}

impl From<FdtParseError> for FdtError {
    fn from(error: FdtParseError) -> Self {
        Self::Damaged(error)
    }
}

#[derive(Default)]
struct Writer {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Writer {
    fn node(&mut self, node: &Node) {
        self.word(BEGIN_NODE);
        self.structure.extend_from_slice(node.name.as_bytes());
        self.structure.push(0);
        self.align();
        for (name, value) in &node.properties {
            self.word(PROPERTY);
            self.word(length(value.len()));
            let offset = self.string_offset(name);
            self.word(offset);
            self.structure.extend_from_slice(value);
            self.align();
        }
        for child in &node.children {
            self.node(child);
        }
        self.word(END_NODE);
    }

    fn word(&mut self, word: u32) {
        self.structure.extend_from_slice(&word.to_be_bytes());
    }

    fn align(&mut self) {
        self.structure
            .resize(self.structure.len().next_multiple_of(4), 0);
    }

    /// Where in the string table `name` is; it is added when it is not there.
    fn string_offset(&mut self, name: &str) -> u32 {
        let mut at = 0_usize;
        for string in self.strings.split_inclusive(|&byte| byte == 0) {
            if string.strip_suffix(&[0]) == Some(name.as_bytes()) {
                return length(at);
            }
            at = at.saturating_add(string.len());
        }
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        length(at)
    }

    fn finish(self, layout: Layout) -> Vec<u8> {
        let reservations_at = match layout {
            Layout::Sequential => HEADER_BYTES.next_multiple_of(RESERVATIONS_BYTES),
            Layout::Packed => HEADER_BYTES,
        };
        let structure_at = reservations_at.saturating_add(RESERVATIONS_BYTES);
        let strings_at = structure_at.saturating_add(self.structure.len());
        let total = strings_at.saturating_add(self.strings.len());
        let header = [
            MAGIC,
            length(total),
            length(structure_at),
            length(strings_at),
            length(reservations_at),
            VERSION,
            LAST_COMPATIBLE_VERSION,
            0, // boot CPU
            length(self.strings.len()),
            length(self.structure.len()),
        ];
        let mut fdt: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        fdt.resize(structure_at, 0);
        fdt.extend(self.structure);
        fdt.extend(self.strings);
        fdt
    }
}

/// A length as the format has it. What is written is small: one page, or the few names of a
/// `Node` that is in memory already.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
