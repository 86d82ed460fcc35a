//! Reads a handover from its root to its last folio.

use kho::{Order, Pfn, PhysAddr, PhysMem, RadixTree, RootFdt, ScratchAreas};
use kho_abi::kexec_metadata::{self, KexecMetadata};
use zerocopy::FromZeros as _;

use crate::event::{Event, Owner, Totals};
use crate::preserved::{Claim, Preserved};
use crate::problem::Problem;
use crate::{luo, memblock, pstore, text};

/// Reads the handover whose root FDT is at `root` and tells an observer everything: what there is,
/// to whom memory belongs, what is wrong. With `scratch`, also whether something is in it.
///
/// Everything is read once, in the order of the handover. What cannot be read is a [`Problem`],
/// and the rest is read all the same.
pub fn examine<M: PhysMem>(
    mem: &M,
    root: PhysAddr,
    scratch: Option<&ScratchAreas>,
    observer: &mut dyn FnMut(Event<'_>),
) -> Totals {
    let mut reader = Reader {
        mem,
        observer,
        totals: Totals::default(),
        run: None,
        preserved: None,
    };
    reader.read(root, scratch);
    let totals = reader.totals;
    observer(Event::Totals(&totals));
    totals
}

/// The state of one reading.
pub(crate) struct Reader<'a, 'o, M> {
    pub(crate) mem: &'a M,
    observer: &'o mut dyn FnMut(Event<'_>),
    pub(crate) totals: Totals,
    /// The extent that grows.
    run: Option<(PhysAddr, u64, Owner)>,
    preserved: Option<Preserved>,
}

impl<M: PhysMem> Reader<'_, '_, M> {
    fn read(&mut self, addr: PhysAddr, scratch: Option<&ScratchAreas>) {
        let page = match self.mem.read_page(addr) {
            Ok(page) => page,
            Err(error) => return self.problem(Problem::NoRoot(error)),
        };
        let root = match RootFdt::read(&page) {
            Ok(root) => root,
            Err(error) => return self.problem(Problem::Root(error)),
        };
        self.tell(Event::Root(&root));
        let tree = RadixTree::at(root.memory_map);
        let mut problems = 0_u64;
        let preserved = {
            let observer = &mut *self.observer;
            Preserved::read(self.mem, tree, scratch, &mut |problem| {
                problems = problems.saturating_add(1);
                observer(Event::Problem(&problem));
            })
        };
        self.totals.problems = problems;
        self.totals.preserved = preserved.blocks.clone();
        self.totals.tree_nodes = preserved.nodes;
        self.preserved = Some(preserved);
        self.claim("the root FDT", addr, Owner::Root);
        self.subtrees(&root);
        self.rest();
        self.end_run();
    }

    fn subtrees(&mut self, root: &RootFdt) {
        for subtree in &root.subtrees {
            let (addr, bytes) = match subtree.blob() {
                Ok(blob) => blob,
                Err(error) => {
                    self.problem(Problem::Subtree(error));
                    continue;
                }
            };
            // Only LUO's own blob is LUO's.
            let owner = match subtree.name.as_str() {
                kho_abi::luo::ENTRY_NAME => Owner::Luo,
                _ => Owner::Root,
            };
            if let Some(order) = self.claim("a blob", addr, owner) {
                let block_bytes = order.bytes(self.mem.page_size()).unwrap_or(u64::MAX);
                if bytes > block_bytes {
                    self.problem(Problem::BlobBlock {
                        name: subtree.name.clone(),
                        addr,
                        bytes,
                        block_bytes,
                    });
                }
            }
            match subtree.name.as_str() {
                kho_abi::luo::ENTRY_NAME => luo::read(self, addr, bytes),
                kho_abi::memblock::NODE_NAME => memblock::read(self, addr, bytes),
                kho_abi::pstore::NODE_NAME => pstore::read(self, addr, bytes),
                kexec_metadata::NODE_NAME => self.metadata(addr, bytes),
                _ => {}
            }
        }
    }

    /// What nobody has claimed.
    fn rest(&mut self) {
        let Some(preserved) = self.preserved.take() else {
            return;
        };
        for (addr, bytes) in preserved.unclaimed() {
            self.totals.unknown_bytes = self.totals.unknown_bytes.saturating_add(bytes);
            self.extent(addr, bytes, Owner::Unknown);
        }
    }

    fn metadata(&mut self, addr: PhysAddr, bytes: u64) {
        let expected = u64::try_from(size_of::<KexecMetadata>()).unwrap_or(u64::MAX);
        let too_small = || Problem::BlobSize {
            name: kexec_metadata::NODE_NAME,
            found_bytes: bytes,
            expected_bytes: expected,
        };
        if bytes < 4 {
            return self.problem(too_small());
        }
        let version: u32 = match self.mem.read_value(addr) {
            Ok(version) => version,
            Err(error) => return self.unreadable("the kexec metadata", error),
        };
        if version != kexec_metadata::VERSION {
            return self.problem(Problem::MetadataVersion { found: version });
        }
        if bytes < expected {
            return self.problem(too_small());
        }
        let metadata = self.mem.read_value(addr);
        let metadata = metadata.unwrap_or_else(|_| KexecMetadata::new_zeroed());
        let release = text::lossy(&metadata.previous_release);
        self.tell(Event::Metadata {
            release: &release,
            kexec_count: metadata.kexec_count.get(),
        });
    }

    pub(crate) fn tell(&mut self, event: Event<'_>) {
        (self.observer)(event);
    }

    pub(crate) fn problem(&mut self, problem: Problem) {
        self.totals.problems = self.totals.problems.saturating_add(1);
        self.tell(Event::Problem(&problem));
        drop(problem);
    }

    pub(crate) fn unreadable(&mut self, what: &'static str, error: kho::MemError) {
        self.problem(Problem::Unreadable { what, error });
    }

    /// Uses the block at `addr`; its order when it is preserved.
    pub(crate) fn claim(
        &mut self,
        what: &'static str,
        addr: PhysAddr,
        owner: Owner,
    ) -> Option<Order> {
        match self.claim_block(addr, owner) {
            Claim::First(order) => Some(order),
            Claim::Again(order) => {
                self.problem(Problem::UsedTwice { what, addr });
                Some(order)
            }
            Claim::None => {
                self.problem(Problem::NotPreserved { what, addr });
                None
            }
        }
    }

    /// Uses the block at `addr` for its owner's extent.
    pub(crate) fn claim_block(&mut self, addr: PhysAddr, owner: Owner) -> Claim {
        let claim = match &mut self.preserved {
            Some(preserved) => preserved.claim(addr),
            None => Claim::None,
        };
        if let Claim::First(order) = claim {
            let bytes = order.bytes(self.mem.page_size()).unwrap_or(u64::MAX);
            self.extent(addr, bytes, owner);
        }
        claim
    }

    /// Uses pages that were preserved as a run.
    pub(crate) fn claim_pages(&mut self, addr: PhysAddr, pages: u64, owner: Owner) -> Claim {
        let claim = match &mut self.preserved {
            Some(preserved) => preserved.claim_pages(addr, pages),
            None => Claim::None,
        };
        if let Claim::First(_) = claim {
            let page_bytes = Order(0).bytes(self.mem.page_size()).unwrap_or(u64::MAX);
            self.extent(addr, pages.saturating_mul(page_bytes), owner);
        }
        claim
    }

    /// Uses single pages in a row; how many, up to the first that cannot be used.
    pub(crate) fn claim_run(&mut self, pfn: Pfn, pages: u64, owner: Owner) -> u64 {
        let done = match &mut self.preserved {
            Some(preserved) => preserved.claim_run(pfn, pages),
            None => 0,
        };
        if let Some(addr) = pfn.addr(self.mem.page_size()).filter(|_| done > 0) {
            let page_bytes = Order(0).bytes(self.mem.page_size()).unwrap_or(u64::MAX);
            self.extent(addr, done.saturating_mul(page_bytes), owner);
        }
        done
    }

    fn extent(&mut self, addr: PhysAddr, bytes: u64, owner: Owner) {
        if let Some((start, length, of)) = &mut self.run
            && *of == owner
            && start.0.saturating_add(*length) == addr.0
        {
            *length = length.saturating_add(bytes);
            return;
        }
        self.end_run();
        self.run = Some((addr, bytes, owner));
    }

    fn end_run(&mut self) {
        if let Some((addr, bytes, owner)) = self.run.take() {
            self.tell(Event::Extent { addr, bytes, owner });
        }
    }
}
