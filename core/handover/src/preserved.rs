//! The tree of preserved memory with its claims: who uses which block.

use alloc::vec;
use alloc::vec::Vec;

use kho::{
    Key, KeyError, Order, PageSize, PhysAddr, PhysMem, RadixError, RadixTree, ScratchAreas,
    Subtrees,
};

use crate::coverage::Coverage;
use crate::event::Orders;
use crate::problem::Problem;

/// Problems of one kind that are told one by one; more are as many again.
const TOLD_EACH: u64 = 100;

/// Every preserved block.
#[derive(Debug)]
pub(crate) struct Preserved {
    page_size: PageSize,
    /// Ascending by first key.
    leaves: Vec<HeldLeaf>,
    /// Orders there are blocks of, ascending, with the leaf a block of it was found in last.
    orders: Vec<(u32, usize)>,
    pub(crate) blocks: Orders,
    pub(crate) nodes: u64,
}

#[derive(Debug)]
struct HeldLeaf {
    first_key: u64,
    bitmap: Vec<u8>,
    /// Bits that somebody uses; empty until somebody does.
    claimed: Vec<u8>,
}

/// An attempt to use a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is preserved and was not used.
    First(Order),
    /// It is preserved and used already.
    Again(Order),
    /// No preserved block starts there.
    None,
}

impl Preserved {
    /// Reads the tree and looks at each of its blocks.
    pub(crate) fn read(
        mem: &impl PhysMem,
        tree: RadixTree,
        scratch: Option<&ScratchAreas>,
        tell: &mut dyn FnMut(Problem),
    ) -> Self {
        let page_size = mem.page_size();
        let mut preserved = Self {
            page_size,
            leaves: Vec::new(),
            orders: Vec::new(),
            blocks: Orders::default(),
            nodes: 0,
        };
        let mut check = Check {
            page_size,
            scratch,
            coverage: Coverage::default(),
            told: 0,
            tell,
        };
        let mut nodes = Vec::new();
        let mut visits = tree.visit(mem);
        while let Some(next) = visits.next_leaf() {
            let leaf = match next {
                Ok(Subtrees::Inner(node)) => {
                    nodes.push(node);
                    continue;
                }
                Ok(Subtrees::Leaf(leaf)) => leaf,
                Err(error) => {
                    check.tell(Problem::Tree(error));
                    break;
                }
            };
            nodes.push(leaf.addr);
            let mut blocks = Orders::default();
            for bit in set_bits(&leaf.bitmap) {
                match Key::from_word(leaf.first_key | bit, page_size) {
                    Ok(key) => {
                        let (addr, order) = key.block(page_size);
                        check.block(mem, addr, order);
                        blocks.count(order);
                    }
                    Err(error) => check.key(error),
                }
            }
            preserved.hold(leaf.first_key, leaf.bitmap, &blocks);
        }
        for &node in &nodes {
            check.node(node);
        }
        preserved.nodes = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
        preserved
    }

    fn hold(&mut self, first_key: u64, bitmap: Vec<u8>, blocks: &Orders) {
        let place = self.leaves.len();
        for (order, count) in blocks.iter() {
            self.blocks.add(order, count);
            if !self.orders.iter().any(|&(known, _)| known == order.0) {
                self.orders.push((order.0, place));
            }
        }
        self.orders.sort_unstable();
        self.leaves.push(HeldLeaf {
            first_key,
            bitmap,
            claimed: Vec::new(),
        });
    }

    /// Uses the block that starts at `addr`, of whatever order.
    pub(crate) fn claim(&mut self, addr: PhysAddr) -> Claim {
        for slot in 0..self.orders.len() {
            let Some(&(order, _)) = self.orders.get(slot) else {
                break;
            };
            let Ok(key) = Key::new(addr, Order(order), self.page_size) else {
                // Higher orders want more of the address still.
                break;
            };
            if let Some(is_first) = self.claim_key(slot, key.word()) {
                let order = Order(order);
                return if is_first {
                    Claim::First(order)
                } else {
                    Claim::Again(order)
                };
            }
        }
        Claim::None
    }

    /// Uses pages that were preserved as `kho_preserve_pages()` does: in naturally aligned blocks.
    /// `Claim::None` when one of them is not there.
    pub(crate) fn claim_pages(&mut self, addr: PhysAddr, pages: u64) -> Claim {
        let mut pfn = addr.pfn(self.page_size).0;
        let end = pfn.saturating_add(pages);
        let mut answer = Claim::None;
        while let Some(largest) = end.saturating_sub(pfn).checked_ilog2() {
            let largest = pfn.trailing_zeros().min(largest);
            // Blocks are cut where a NUMA node ends; which that is, is not known here.
            let found = (0..=largest).rev().find_map(|order| {
                let slot = self.orders.iter().position(|&(known, _)| known == order)?;
                let addr = kho::Pfn(pfn).addr(self.page_size)?;
                let key = Key::new(addr, Order(order), self.page_size).ok()?;
                Some((order, self.claim_key(slot, key.word())?))
            });
            let Some((order, is_first)) = found else {
                return Claim::None;
            };
            answer = match answer {
                Claim::Again(_) => answer,
                _ if is_first => Claim::First(Order(order)),
                _ => Claim::Again(Order(order)),
            };
            pfn = pfn.saturating_add(1_u64.checked_shl(order).unwrap_or(u64::MAX));
        }
        answer
    }

    /// `None`: no such key; otherwise whether this is its first use.
    fn claim_key(&mut self, slot: usize, word: u64) -> Option<bool> {
        let bits = self.page_size.radix_bitmap_bits();
        let low = u64::MAX.wrapping_shr(64_u32.saturating_sub(bits));
        let first_key = word & !low;
        let (_, last) = self.orders.get_mut(slot)?;
        let known = self.leaves.get(*last).map(|leaf| leaf.first_key);
        if known != Some(first_key) {
            let search = self
                .leaves
                .binary_search_by_key(&first_key, |leaf| leaf.first_key);
            *last = search.ok()?;
        }
        let leaf = self.leaves.get_mut(*last)?;
        let bit = word & low;
        let byte = usize::try_from(bit >> 3).ok()?;
        let mask = 1_u8.wrapping_shl(u32::try_from(bit & 7).ok()?);
        if leaf.bitmap.get(byte)? & mask == 0 {
            return None;
        }
        if leaf.claimed.is_empty() {
            leaf.claimed = vec![0; leaf.bitmap.len()];
        }
        let claimed = leaf.claimed.get_mut(byte)?;
        let is_first = *claimed & mask == 0;
        *claimed |= mask;
        Some(is_first)
    }

    /// Blocks nobody has used: address and bytes.
    pub(crate) fn unclaimed(&self) -> impl Iterator<Item = (PhysAddr, u64)> {
        self.leaves.iter().flat_map(move |leaf| {
            let used = |bit: u64| {
                let byte = usize::try_from(bit >> 3).unwrap_or(usize::MAX);
                let shift = u32::try_from(bit & 7).unwrap_or(0);
                let claimed = leaf.claimed.get(byte).copied().unwrap_or(0);
                claimed & 1_u8.wrapping_shl(shift) != 0
            };
            set_bits(&leaf.bitmap)
                .filter(move |&bit| !used(bit))
                .filter_map(move |bit| {
                    let key = Key::from_word(leaf.first_key | bit, self.page_size).ok()?;
                    let (addr, order) = key.block(self.page_size);
                    Some((addr, order.bytes(self.page_size)?))
                })
        })
    }
}

/// Places of the bits that are set.
fn set_bits(bitmap: &[u8]) -> impl Iterator<Item = u64> {
    let words = bitmap.chunks_exact(8);
    (0_u64..).zip(words).flat_map(|(place, word)| {
        let mut word = word.try_into().map_or(0, u64::from_le_bytes);
        core::iter::from_fn(move || {
            let bit = word.trailing_zeros();
            word &= word.wrapping_sub(1);
            (bit < 64).then(|| place.saturating_mul(64).saturating_add(u64::from(bit)))
        })
    })
}

/// What is looked at in each block.
struct Check<'a> {
    page_size: PageSize,
    scratch: Option<&'a ScratchAreas>,
    coverage: Coverage,
    told: u64,
    tell: &'a mut dyn FnMut(Problem),
}

impl Check<'_> {
    fn tell(&mut self, problem: Problem) {
        self.told = self.told.saturating_add(1);
        if self.told <= TOLD_EACH {
            (self.tell)(problem);
        }
    }

    fn key(&mut self, error: KeyError) {
        self.tell(Problem::Tree(RadixError::Key(error)));
    }

    fn block(&mut self, mem: &impl PhysMem, addr: PhysAddr, order: Order) {
        let bytes = order.bytes(self.page_size).unwrap_or(u64::MAX);
        if !mem.is_memory(addr, bytes) {
            self.tell(Problem::NotMemory { addr, order });
            return;
        }
        if !self.coverage.add(addr.pfn(self.page_size).0, order.0) {
            self.tell(Problem::Overlap { addr, order });
        }
        if self
            .scratch
            .is_some_and(|scratch| scratch.overlap(addr, bytes))
        {
            self.tell(Problem::InScratch { addr, order });
        }
    }

    fn node(&mut self, addr: PhysAddr) {
        let bytes = Order(0).bytes(self.page_size).unwrap_or(u64::MAX);
        if self
            .scratch
            .is_some_and(|scratch| scratch.overlap(addr, bytes))
        {
            self.tell(Problem::NodeInScratch { addr });
        }
        if self.coverage.contains(addr.pfn(self.page_size).0) {
            self.tell(Problem::NodePreserved { addr });
        }
    }
}
