//! The memory map: a radix tree of keys, one page a node.
//!
//! Inner nodes are arrays of physical addresses (0: nothing there), leaves are bitmaps. Nodes
//! themselves are not in the map: the next kernel takes memory from scratch only until it has
//! walked the tree (`kho_memory_init`, `kernel/liveupdate/kexec_handover.c`, v7.3).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use kho_abi::PageSize;

use crate::key::{Key, KeyError};
use crate::mem::{MemError, PageAlloc, PhysMem, PhysMemMut};
use crate::phys::PhysAddr;

/// What is wrong with a tree, or stops it from growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RadixError {
    /// A node is not where one can be.
    #[error("the tree has a node at {addr}, which is no page")]
    Misaligned {
        /// Where the node should be.
        addr: PhysAddr,
    },
    /// A node is in the tree twice: a walk would not end.
    #[error("the tree has the node at {addr} twice")]
    Shared {
        /// Where the node is.
        addr: PhysAddr,
    },
    /// A node is not in memory.
    #[error("the tree has a node outside memory")]
    Outside(#[from] MemError),
    /// A bit of a leaf is no key.
    #[error("the tree holds a word that is no key")]
    Key(#[from] KeyError),
    /// No page for a new node; the kernel answers `ENOMEM`.
    #[error("no page for a node of the tree")]
    NoMemory,
}

/// A tree, by its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RadixTree {
    root: PhysAddr,
}

/// Memory a tree can grow in.
pub trait TreeMem: PhysMemMut + PageAlloc {}
impl<T: PhysMemMut + PageAlloc> TreeMem for T {}

impl RadixTree {
    /// An empty tree.
    ///
    /// # Errors
    /// [`RadixError::NoMemory`].
    pub fn create(mem: &mut impl TreeMem) -> Result<Self, RadixError> {
        let root = mem.alloc_page().ok_or(RadixError::NoMemory)?;
        Ok(Self { root })
    }

    /// A tree somebody else made.
    pub const fn at(root: PhysAddr) -> Self {
        Self { root }
    }

    /// Where its root is.
    pub const fn root(&self) -> PhysAddr {
        self.root
    }

    /// Adds a key; one that is there already is no error.
    ///
    /// # Errors
    /// [`RadixError::NoMemory`]: then no node was added. A damaged tree.
    pub fn add(&self, mem: &mut impl TreeMem, key: Key) -> Result<(), RadixError> {
        let page_size = mem.page_size();
        let mut node = self.root;
        let mut new = Vec::new();
        let mut anchor = None;
        for level in inner_levels(page_size) {
            let slot = slot(node, key, level, page_size)?;
            let next = PhysAddr(mem.read_value(slot)?);
            node = if next.0 != 0 {
                check_node(next, page_size)?
            } else {
                let Some(page) = mem.alloc_page() else {
                    return undo(mem, &new);
                };
                // The new branch is complete before the tree leads to it.
                match anchor {
                    None => anchor = Some((slot, page)),
                    Some(_) => mem.write_value(slot, &page.0)?,
                }
                new.push(page);
                page
            };
        }
        let (byte, mask) = leaf_bit(node, key, page_size)?;
        let bits: u8 = mem.read_value(byte)?;
        mem.write_value(byte, &(bits | mask))?;
        if let Some((slot, page)) = anchor {
            mem.write_value(slot, &page.0)?;
        }
        Ok(())
    }

    /// Removes a key; whether it was there. Nodes stay, even empty ones.
    ///
    /// # Errors
    /// A damaged tree.
    pub fn del(&self, mem: &mut impl PhysMemMut, key: Key) -> Result<bool, RadixError> {
        let Some((byte, mask)) = self.find(mem, key)? else {
            return Ok(false);
        };
        let bits: u8 = mem.read_value(byte)?;
        mem.write_value(byte, &(bits & !mask))?;
        Ok(bits & mask != 0)
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// A damaged tree.
    pub fn contains(&self, mem: &impl PhysMem, key: Key) -> Result<bool, RadixError> {
        let Some((byte, mask)) = self.find(mem, key)? else {
            return Ok(false);
        };
        let bits: u8 = mem.read_value(byte)?;
        Ok(bits & mask != 0)
    }

    /// The leaf a key is in, or would be in if it were there; `None` when there is no such leaf.
    ///
    /// # Errors
    /// A damaged tree.
    pub fn leaf(&self, mem: &impl PhysMem, key: Key) -> Result<Option<Leaf>, RadixError> {
        let page_size = mem.page_size();
        let bits = page_size.radix_bitmap_bits();
        let low = low_bits(key.word(), bits);
        let Some(addr) = self.leaf_addr(mem, key)? else {
            return Ok(None);
        };
        Ok(Some(Leaf {
            addr,
            first_key: key.word() & !low,
            bitmap: mem.read_page(addr)?,
        }))
    }

    fn find(&self, mem: &impl PhysMem, key: Key) -> Result<Option<(PhysAddr, u8)>, RadixError> {
        let leaf = self.leaf_addr(mem, key)?;
        leaf.map(|leaf| leaf_bit(leaf, key, mem.page_size()))
            .transpose()
    }

    /// The page of the leaf a key is in, or would be in.
    fn leaf_addr(&self, mem: &impl PhysMem, key: Key) -> Result<Option<PhysAddr>, RadixError> {
        let page_size = mem.page_size();
        let mut node = self.root;
        for level in inner_levels(page_size) {
            let next = PhysAddr(mem.read_value(slot(node, key, level, page_size)?)?);
            if next.0 == 0 {
                return Ok(None);
            }
            node = check_node(next, page_size)?;
        }
        Ok(Some(node))
    }

    /// Every key in ascending order: blocks by falling order, then by address.
    ///
    /// Takes a page of memory a level and some bytes for each node. A node that is met twice ends
    /// the walk with an error, so it takes no longer than there is memory.
    pub fn walk<'a, M: PhysMem>(&self, mem: &'a M) -> Walk<'a, M> {
        Walk(self.visit(mem))
    }

    /// Every node and every key, as [`RadixTree::walk`]; a node comes before what is under it.
    pub fn visit<'a, M: PhysMem>(&self, mem: &'a M) -> Visits<'a, M> {
        Visits::new(mem, self.root)
    }
}

/// Takes back what a failed add has made; nothing leads to it yet.
fn undo(mem: &mut impl TreeMem, new: &[PhysAddr]) -> Result<(), RadixError> {
    new.iter().for_each(|&page| mem.free_page(page));
    Err(RadixError::NoMemory)
}

/// Levels with inner nodes, from the root down; the leaf is level 0.
fn inner_levels(page_size: PageSize) -> impl Iterator<Item = u32> {
    (1..page_size.radix_levels()).rev()
}

fn check_node(addr: PhysAddr, page_size: PageSize) -> Result<PhysAddr, RadixError> {
    if addr.is_page_aligned(page_size) {
        Ok(addr)
    } else {
        Err(RadixError::Misaligned { addr })
    }
}

/// Bits of a key below those that `level` consumes.
fn level_shift(level: u32, page_size: PageSize) -> u32 {
    let above_leaf = level
        .saturating_sub(1)
        .saturating_mul(page_size.radix_table_bits());
    page_size.radix_bitmap_bits().saturating_add(above_leaf)
}

fn low_bits(word: u64, bits: u32) -> u64 {
    let high = 64_u32.saturating_sub(bits);
    word.checked_shl(high)
        .and_then(|word| word.checked_shr(high))
        .unwrap_or(0)
}

/// Address of the entry for `key` in an inner node.
fn slot(node: PhysAddr, key: Key, level: u32, page_size: PageSize) -> Result<PhysAddr, RadixError> {
    let above = key
        .word()
        .checked_shr(level_shift(level, page_size))
        .unwrap_or(0);
    let index = low_bits(above, page_size.radix_table_bits());
    offset(node, index.saturating_mul(8))
}

/// Address and mask of the bit for `key` in a leaf. Bit i of the bitmap is bit i % 64 of word
/// i / 64; on a little-endian machine, the only ones with KHO, bit i % 8 of byte i / 8.
fn leaf_bit(node: PhysAddr, key: Key, page_size: PageSize) -> Result<(PhysAddr, u8), RadixError> {
    let bit = low_bits(key.word(), page_size.radix_bitmap_bits());
    let mask = 1_u8
        .checked_shl(u32::try_from(bit & 7).unwrap_or(0))
        .unwrap_or(0);
    Ok((offset(node, bit >> 3)?, mask))
}

fn offset(node: PhysAddr, bytes: u64) -> Result<PhysAddr, RadixError> {
    let out = MemError {
        addr: node,
        len_bytes: bytes,
    };
    node.checked_add(bytes).ok_or(RadixError::Outside(out))
}

/// The keys of a tree; see [`RadixTree::walk`].
#[derive(Debug)]
pub struct Walk<'a, M>(Visits<'a, M>);

/// What there is in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// The page of a node.
    Node(PhysAddr),
    /// A key in a leaf.
    Key(Key),
}

/// The nodes and keys of a tree; see [`RadixTree::visit`].
#[derive(Debug)]
pub struct Visits<'a, M> {
    mem: &'a M,
    root: PhysAddr,
    /// The path to the current node: its page, what is next in it, the key bits that lead to it.
    path: Vec<Step>,
    seen: BTreeSet<PhysAddr>,
    state: State,
}

#[derive(Debug)]
struct Step {
    page: Vec<u8>,
    next: usize,
    prefix: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Walking,
    Ended,
}

impl<'a, M: PhysMem> Visits<'a, M> {
    fn new(mem: &'a M, root: PhysAddr) -> Self {
        Self {
            mem,
            root,
            path: Vec::new(),
            seen: BTreeSet::new(),
            state: State::Fresh,
        }
    }

    fn enter(&mut self, addr: PhysAddr, prefix: u64) -> Result<Visit, RadixError> {
        let node = check_node(addr, self.mem.page_size())?;
        if !self.seen.insert(node) {
            return Err(RadixError::Shared { addr });
        }
        let page = self.mem.read_page(node)?;
        self.path.push(Step {
            page,
            next: 0,
            prefix,
        });
        Ok(Visit::Node(node))
    }

    fn advance(&mut self) -> Result<Option<Visit>, RadixError> {
        let page_size = self.mem.page_size();
        let leaf_depth = usize::try_from(page_size.radix_levels()).unwrap_or(usize::MAX);
        loop {
            let depth = self.path.len();
            let Some(step) = self.path.last_mut() else {
                return Ok(None);
            };
            let is_leaf = depth == leaf_depth;
            let found = if is_leaf {
                step.next_bit()
            } else {
                step.next_entry()
            };
            let Some((index, child)) = found else {
                self.path.pop();
                continue;
            };
            let bits = if is_leaf {
                page_size.radix_bitmap_bits()
            } else {
                page_size.radix_table_bits()
            };
            let word = step.prefix.checked_shl(bits).unwrap_or(0) | index;
            if is_leaf {
                return Ok(Some(Visit::Key(Key::from_word(word, page_size)?)));
            }
            return self.enter(PhysAddr(child), word).map(Some);
        }
    }
}

/// A leaf as a whole: [`Visits::next_leaf`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subtrees {
    /// An inner node.
    Inner(PhysAddr),
    /// A leaf.
    Leaf(Leaf),
}

/// A leaf of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its page.
    pub addr: PhysAddr,
    /// The key its bit 0 stands for; bit i is this and i.
    pub first_key: u64,
    /// One bit for each key; bit i is bit i % 8 of byte i / 8.
    pub bitmap: Vec<u8>,
}

impl Leaf {
    /// Whether a key of this leaf is set; not of a key of another one.
    pub fn contains(&self, key: Key) -> bool {
        let bit = key.word() ^ self.first_key;
        let byte = usize::try_from(bit >> 3).ok();
        let byte = byte.and_then(|byte| self.bitmap.get(byte));
        let shift = u32::try_from(bit & 7).unwrap_or(0);
        byte.is_some_and(|byte| byte & 1_u8.wrapping_shl(shift) != 0)
    }
}

impl<M: PhysMem> Visits<'_, M> {
    /// The next node, leaves as a whole: for readers of trees with hundreds of millions of keys.
    /// Keys are not looked at: a leaf may stand for words that are none.
    ///
    /// # Errors
    /// A damaged tree; then nothing more comes.
    pub fn next_leaf(&mut self) -> Option<Result<Subtrees, RadixError>> {
        let page_size = self.mem.page_size();
        let node = loop {
            match self.next()? {
                Ok(Visit::Node(node)) => break node,
                // Only when both ways to read are mixed: the rest of a leaf.
                Ok(Visit::Key(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        };
        let leaf_depth = usize::try_from(page_size.radix_levels()).unwrap_or(usize::MAX);
        if self.path.len() < leaf_depth {
            return Some(Ok(Subtrees::Inner(node)));
        }
        let step = self.path.pop()?;
        let bits = page_size.radix_bitmap_bits();
        Some(Ok(Subtrees::Leaf(Leaf {
            addr: node,
            first_key: step.prefix.checked_shl(bits).unwrap_or(0),
            bitmap: step.page,
        })))
    }
}

impl Step {
    /// The next entry of an inner node that is not 0: its index and its value.
    fn next_entry(&mut self) -> Option<(u64, u64)> {
        loop {
            let index = self.next;
            let start = index.checked_mul(8)?;
            let entry = self.page.get(start..)?.first_chunk::<8>()?;
            self.next = index.checked_add(1)?;
            let value = u64::from_ne_bytes(*entry);
            if value != 0 {
                return Some((u64::try_from(index).ok()?, value));
            }
        }
    }

    /// The next bit of a leaf that is set; skips empty words.
    fn next_bit(&mut self) -> Option<(u64, u64)> {
        loop {
            let index = self.next;
            let start = (index >> 6).checked_mul(8)?;
            let word = u64::from_le_bytes(*self.page.get(start..)?.first_chunk::<8>()?);
            let in_word = u32::try_from(index & 63).ok()?;
            let rest = word.checked_shr(in_word)?;
            if rest == 0 {
                self.next = (index >> 6).checked_add(1)?.checked_mul(64)?;
                continue;
            }
            let found = index.checked_add(usize::try_from(rest.trailing_zeros()).ok()?)?;
            self.next = found.checked_add(1)?;
            return Some((u64::try_from(found).ok()?, 0));
        }
    }
}

impl<M: PhysMem> Iterator for Visits<'_, M> {
    type Item = Result<Visit, RadixError>;

    /// What comes next; after an error nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        let answer = match self.state {
            State::Ended => return None,
            State::Walking => self.advance(),
            State::Fresh => {
                self.state = State::Walking;
                let root = self.root;
                self.enter(root, 0).map(Some)
            }
        };
        let item = answer.transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::Ended;
        }
        item
    }
}

impl<M: PhysMem> Iterator for Walk<'_, M> {
    type Item = Result<Key, RadixError>;

    /// The next key; after an error nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(|visit| match visit {
            Ok(Visit::Node(_)) => None,
            Ok(Visit::Key(key)) => Some(Ok(key)),
            Err(error) => Some(Err(error)),
        })
    }
}

#[cfg(test)]
mod tests;
