//! The tree of preserved memory with its claims: who uses which block.

use alloc::vec;
use alloc::vec::Vec;

use kho::{
    Key, KeyError, Order, PageSize, Pfn, PhysAddr, PhysMem, RadixError, RadixTree, ScratchAreas,
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
    bitmap: Vec<u64>,
    /// Bits that somebody uses; empty until somebody does.
    claimed: Vec<u64>,
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
            let words = leaf.bitmap.chunks_exact(8);
            let bitmap: Vec<u64> = words
                .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
                .collect();
            let blocks = check.leaf(mem, leaf.first_key, &bitmap);
            preserved.hold(leaf.first_key, bitmap, &blocks);
        }
        for &node in &nodes {
            check.node(node);
        }
        preserved.nodes = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
        preserved
    }

    fn hold(&mut self, first_key: u64, bitmap: Vec<u64>, blocks: &Orders) {
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
                let addr = Pfn(pfn).addr(self.page_size)?;
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

    /// Uses single pages in a row, each for the first time; how many it could: up to the first
    /// that is not preserved as a single page or is used already.
    pub(crate) fn claim_run(&mut self, pfn: Pfn, pages: u64) -> u64 {
        let Some(slot) = self.orders.iter().position(|&(order, _)| order == 0) else {
            return 0;
        };
        let mut done = 0_u64;
        while done < pages {
            let at = pfn.0.saturating_add(done);
            let addr = Pfn(at).addr(self.page_size);
            let key = addr.and_then(|addr| Key::new(addr, Order(0), self.page_size).ok());
            let place = key.and_then(|key| self.place(slot, key.word()));
            let Some((leaf, bit)) = place else {
                break;
            };
            let left = pages.saturating_sub(done);
            let claimed = self
                .leaves
                .get_mut(leaf)
                .map_or(0, |leaf| leaf.claim(bit, left));
            done = done.saturating_add(claimed);
            let leaf_bits = 1_u64.wrapping_shl(self.page_size.radix_bitmap_bits());
            if claimed < left.min(leaf_bits.saturating_sub(bit)) {
                break;
            }
        }
        done
    }

    /// Leaf and bit of a key, if there is such a leaf.
    fn place(&mut self, slot: usize, word: u64) -> Option<(usize, u64)> {
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
        Some((*last, word & low))
    }

    /// `None`: no such key; otherwise whether this is its first use.
    fn claim_key(&mut self, slot: usize, word: u64) -> Option<bool> {
        let (leaf, bit) = self.place(slot, word)?;
        let leaf = self.leaves.get_mut(leaf)?;
        let (at, mask) = bit_place(bit);
        if leaf.bitmap.get(at)? & mask == 0 {
            return None;
        }
        Some(leaf.claim(bit, 1) == 1)
    }

    /// Blocks nobody has used: address and bytes.
    pub(crate) fn unclaimed(&self) -> impl Iterator<Item = (PhysAddr, u64)> {
        self.leaves.iter().flat_map(move |leaf| {
            let claimed = leaf.claimed.iter().copied().chain(core::iter::repeat(0));
            let words = leaf.bitmap.iter().zip(claimed);
            set_bits(words.map(|(word, claimed)| word & !claimed)).filter_map(move |bit| {
                let key = Key::from_word(leaf.first_key | bit, self.page_size).ok()?;
                let (addr, order) = key.block(self.page_size);
                Some((addr, order.bytes(self.page_size)?))
            })
        })
    }
}

impl HeldLeaf {
    /// Claims bits from `bit` on, at most `count`: up to the first that is not set, or is claimed.
    fn claim(&mut self, bit: u64, count: u64) -> u64 {
        if self.claimed.is_empty() {
            self.claimed = vec![0; self.bitmap.len()];
        }
        let mut done = 0_u64;
        while done < count {
            let (at, mask) = bit_place(bit.saturating_add(done));
            let (Some(&set), Some(claimed)) = (self.bitmap.get(at), self.claimed.get_mut(at))
            else {
                break;
            };
            // Bits of this word that are wanted: from the first one on, as many as are left.
            let first = mask.trailing_zeros();
            let here = u64::from(64_u32.saturating_sub(first)).min(count.saturating_sub(done));
            let ones = u32::try_from(here).unwrap_or(64);
            let wanted = u64::MAX
                .wrapping_shr(64_u32.saturating_sub(ones))
                .wrapping_shl(first);
            let free = set & !*claimed;
            let got = free.wrapping_shr(first).trailing_ones().min(ones);
            if got == ones {
                *claimed |= wanted;
            } else {
                if got > 0 {
                    let low = u64::MAX.wrapping_shr(64_u32.saturating_sub(got));
                    *claimed |= low.wrapping_shl(first);
                }
                return done.saturating_add(u64::from(got));
            }
            done = done.saturating_add(here);
        }
        done
    }
}

/// Word of a bit, and the bit in it.
fn bit_place(bit: u64) -> (usize, u64) {
    let at = usize::try_from(bit >> 6).unwrap_or(usize::MAX);
    let shift = u32::try_from(bit & 63).unwrap_or(0);
    (at, 1_u64.wrapping_shl(shift))
}

/// Places of the bits that are set.
fn set_bits(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    (0_u64..).zip(words).flat_map(|(place, mut word)| {
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

    /// Looks at every block of a leaf; how many there are of each order.
    fn leaf(&mut self, mem: &impl PhysMem, first_key: u64, bitmap: &[u64]) -> Orders {
        if let Some(blocks) = self.plain_leaf(mem, first_key, bitmap) {
            return blocks;
        }
        let mut blocks = Orders::default();
        for bit in set_bits(bitmap.iter().copied()) {
            match Key::from_word(first_key | bit, self.page_size) {
                Ok(key) => {
                    let (addr, order) = key.block(self.page_size);
                    self.block(mem, addr, order);
                    blocks.count(order);
                }
                Err(error) => self.key(error),
            }
        }
        blocks
    }

    /// A leaf of single pages that all are memory, none in scratch, none in another block: nearly
    /// every leaf of a large handover. `None` when it is not that.
    fn plain_leaf(&mut self, mem: &impl PhysMem, first_key: u64, bitmap: &[u64]) -> Option<Orders> {
        let (addr, order) = Key::from_word(first_key, self.page_size)
            .ok()?
            .block(self.page_size);
        let pages = u64::try_from(bitmap.len()).ok()?.checked_mul(64)?;
        let bytes = Order(0).bytes(self.page_size)?.checked_mul(pages)?;
        let is_plain = order == Order(0)
            && mem.is_memory(addr, bytes)
            && !self
                .scratch
                .is_some_and(|scratch| scratch.overlap(addr, bytes))
            && self.coverage.add_all(addr.pfn(self.page_size).0, bitmap);
        let mut blocks = Orders::default();
        let count = |word: &u64| u64::from(word.count_ones());
        blocks.add(Order(0), bitmap.iter().map(count).sum());
        is_plain.then_some(blocks)
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

#[cfg(test)]
mod tests;
