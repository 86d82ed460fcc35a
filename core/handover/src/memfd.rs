//! Preserved memfds: header, table of folios, folios.

use alloc::vec;

use kho::vmalloc::{self, Chunk};
use kho::{KhoError, Order, Pfn, PhysAddr, PhysMem};
use kho_abi::memfd::{FolioFlags, FolioSer, MemfdSer};
use zerocopy::FromBytes as _;

use crate::event::{Memfd, Orders, Owner, Session};
use crate::examine::Reader;
use crate::preserved::Claim;
use crate::problem::{MemfdProblem, Problem};

/// Bytes of an entry of the table of folios.
const ENTRY_BYTES: usize = size_of::<FolioSer>();
/// Most that is read of a table at once; whole pages of every size.
const READ_BYTES: usize = 1 << 18;

/// Reads the memfd whose header is at `header` and claims all that is its own; `None` when there
/// is no header to be read.
pub(crate) fn read<M: PhysMem>(
    reader: &mut Reader<'_, '_, M>,
    session: &Session,
    token: u64,
    header: PhysAddr,
) -> Option<Memfd> {
    let mut file = Reading {
        reader,
        session,
        token,
    };
    file.claim("its header", header);
    let ser: MemfdSer = match file.reader.mem.read_value(header) {
        Ok(ser) => ser,
        Err(error) => {
            file.problem(MemfdProblem::Header(error));
            return None;
        }
    };
    if ser.seals.unknown() != 0 {
        file.problem(MemfdProblem::Seals(ser.seals.unknown()));
    }
    if ser.flags != 0 {
        file.problem(MemfdProblem::Flags(ser.flags));
    }
    if ser.size == 0 && ser.nr_folios != 0 {
        file.problem(MemfdProblem::EmptyWithFolios(ser.nr_folios));
    }
    let orders = file.folios(&ser);
    Some(Memfd {
        header,
        size_bytes: ser.size,
        pos_bytes: ser.pos,
        seals: ser.seals,
        orders,
    })
}

struct Reading<'a, 'r, 'o, M> {
    reader: &'a mut Reader<'r, 'o, M>,
    session: &'a Session,
    token: u64,
}

/// What a table of folios comes to.
#[derive(Default)]
struct Tally {
    orders: Orders,
    /// Page of the file that comes next.
    next_index: u64,
    number: u64,
    skipped: u64,
    not_uptodate: u64,
    holes: u64,
}

impl<M: PhysMem> Reading<'_, '_, '_, M> {
    fn problem(&mut self, problem: MemfdProblem) {
        self.reader.problem(Problem::Memfd {
            session: self.session.name.clone(),
            token: self.token,
            problem,
        });
    }

    fn claim(&mut self, what: &'static str, addr: PhysAddr) {
        match self.reader.claim_block(addr, Owner::MemfdTable) {
            Claim::First(_) => {}
            Claim::Again(_) => self.problem(MemfdProblem::UsedTwice { what, addr }),
            Claim::None => self.problem(MemfdProblem::NotPreserved { what, addr }),
        }
    }

    fn folios(&mut self, ser: &MemfdSer) -> Orders {
        let mut tally = Tally::default();
        if ser.nr_folios == 0 {
            return tally.orders;
        }
        let page_bytes = Order(0).bytes(self.reader.mem.page_size()).unwrap_or(1);
        let found_bytes = u64::from(ser.folios.total_pages).saturating_mul(page_bytes);
        let entry_bytes = u64::try_from(ENTRY_BYTES).unwrap_or(u64::MAX);
        let fits = found_bytes.checked_div(entry_bytes).unwrap_or(0);
        if ser.nr_folios > fits {
            self.problem(MemfdProblem::TableSize {
                found_bytes,
                folios: ser.nr_folios,
            });
        }
        let pages_of_file = ser.size.div_ceil(page_bytes);
        let mem = self.reader.mem;
        for chunk in vmalloc::chunks(mem, &ser.folios) {
            if let Err(error) = chunk.and_then(|chunk| self.chunk(&chunk, ser, &mut tally)) {
                self.problem(MemfdProblem::Table(error));
                return tally.orders;
            }
        }
        let behind = pages_of_file.saturating_sub(tally.next_index);
        tally.holes = tally.holes.saturating_add(behind);
        for (count, problem) in [
            (tally.skipped, MemfdProblem::Skipped(tally.skipped)),
            (
                tally.not_uptodate,
                MemfdProblem::NotUptodate(tally.not_uptodate),
            ),
            (tally.holes, MemfdProblem::Holes(tally.holes)),
        ] {
            if count != 0 {
                self.problem(problem);
            }
        }
        tally.orders
    }

    /// One chunk of the table's pages.
    fn chunk(&mut self, chunk: &Chunk, ser: &MemfdSer, tally: &mut Tally) -> Result<(), KhoError> {
        let what = "a chunk of its table";
        match self.reader.claim_pages(chunk.addr, 1, Owner::MemfdTable) {
            Claim::First(_) => {}
            Claim::Again(_) => self.problem(MemfdProblem::UsedTwice {
                what,
                addr: chunk.addr,
            }),
            Claim::None => self.problem(MemfdProblem::NotPreserved {
                what,
                addr: chunk.addr,
            }),
        }
        let block_pages = Order(ser.folios.order.into()).pages().unwrap_or(0);
        for &block in &chunk.blocks {
            let what = "a page of its table";
            match self
                .reader
                .claim_pages(block, block_pages, Owner::MemfdTable)
            {
                Claim::First(_) => {}
                Claim::Again(_) => self.problem(MemfdProblem::UsedTwice { what, addr: block }),
                Claim::None => self.problem(MemfdProblem::NotPreserved { what, addr: block }),
            }
        }
        self.table(&chunk.blocks, block_pages, ser, tally)
    }

    /// The part of the table that is in these blocks; what lies in a row is read at once.
    fn table(
        &mut self,
        blocks: &[PhysAddr],
        block_pages: u64,
        ser: &MemfdSer,
        tally: &mut Tally,
    ) -> Result<(), KhoError> {
        let page_bytes = Order(0).bytes(self.reader.mem.page_size()).unwrap_or(1);
        let block_bytes = block_pages.saturating_mul(page_bytes);
        let mut buffer = vec![0; READ_BYTES];
        let mut rest = blocks;
        while let Some((&first, _)) = rest.split_first() {
            let mut next = first.0;
            let in_row = rest.iter().take_while(|block| {
                let follows = block.0 == next;
                next = next.saturating_add(block_bytes);
                follows
            });
            let count = in_row.count();
            let blocks = u64::try_from(count).unwrap_or(u64::MAX);
            let mut left = blocks.saturating_mul(block_bytes);
            let mut at = first;
            while left > 0 && tally.number < ser.nr_folios {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
                let Some(part) = buffer.get_mut(..here) else {
                    break;
                };
                self.reader.mem.read(at, part)?;
                self.entries(part, ser, tally);
                let here = u64::try_from(here).unwrap_or(u64::MAX);
                left = left.saturating_sub(here);
                at = PhysAddr(at.0.saturating_add(here));
            }
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// A part of the table.
    fn entries(&mut self, part: &[u8], ser: &MemfdSer, tally: &mut Tally) {
        let page_bytes = Order(0).bytes(self.reader.mem.page_size()).unwrap_or(1);
        let end = ser.size.div_ceil(page_bytes);
        let left = ser.nr_folios.saturating_sub(tally.number);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let Ok(entries) = <[FolioSer]>::ref_from_bytes(part) else {
            // A part is whole pages, and so whole entries; its buffer need not be aligned for them.
            let entries = part.chunks_exact(ENTRY_BYTES).take(left);
            for entry in entries.filter_map(|entry| FolioSer::read_from_bytes(entry).ok()) {
                self.entry(&entry, end, tally);
            }
            return;
        };
        let mut rest = entries.get(..left).unwrap_or(entries);
        while let Some((first, _)) = rest.split_first() {
            let run = run_length(rest);
            let done = self.run(first, run, end, tally);
            if done == 0 {
                self.entry(first, end, tally);
            }
            rest = rest.get(done.max(1)..).unwrap_or_default();
        }
    }

    /// Entries that name pages in a row for pages of the file in a row, as far as nothing is wrong
    /// with them; how many those are.
    fn run(&mut self, first: &FolioSer, length: usize, end: u64, tally: &mut Tally) -> usize {
        let pages = u64::try_from(length).unwrap_or(0);
        let fits = first.index >= tally.next_index
            && first
                .index
                .checked_add(pages)
                .is_some_and(|last| last <= end)
            && first.pfn() != 0
            && first.flags().contains(FolioFlags::UPTODATE);
        if !fits || length < 2 {
            return 0;
        }
        let done = self.reader.claim_run(Pfn(first.pfn()), pages, Owner::Memfd);
        if done > 0 {
            let hole = first.index.saturating_sub(tally.next_index);
            tally.holes = tally.holes.saturating_add(hole);
            tally.next_index = first.index.saturating_add(done);
            tally.number = tally.number.saturating_add(done);
            tally.orders.add(Order(0), done);
        }
        usize::try_from(done).unwrap_or(0)
    }

    fn entry(&mut self, entry: &FolioSer, end: u64, tally: &mut Tally) {
        let number = tally.number;
        tally.number = number.saturating_add(1);
        if entry.pfn() == 0 {
            tally.skipped = tally.skipped.saturating_add(1);
            return;
        }
        let order = self.folio(Pfn(entry.pfn()));
        tally.orders.count(order);
        let index = entry.index;
        if index < tally.next_index || index >= end {
            self.problem(MemfdProblem::Index { number, index });
            return;
        }
        let hole = index.saturating_sub(tally.next_index);
        tally.holes = tally.holes.saturating_add(hole);
        tally.next_index = index.saturating_add(order.pages().unwrap_or(1));
        if !entry.flags().contains(FolioFlags::UPTODATE) {
            tally.not_uptodate = tally.not_uptodate.saturating_add(1);
        }
    }

    /// Claims a folio; its order, 0 when it is not preserved.
    fn folio(&mut self, pfn: Pfn) -> Order {
        let what = "a folio";
        let addr = pfn.addr(self.reader.mem.page_size());
        let addr = addr.unwrap_or(PhysAddr(u64::MAX));
        match self.reader.claim_block(addr, Owner::Memfd) {
            Claim::First(order) => order,
            Claim::Again(order) => {
                self.problem(MemfdProblem::UsedTwice { what, addr });
                order
            }
            Claim::None => {
                self.problem(MemfdProblem::NotPreserved { what, addr });
                Order(0)
            }
        }
    }
}

/// How many entries from the first one on name the next page each, with the same flags, for the next
/// page of the file each.
fn run_length(entries: &[FolioSer]) -> usize {
    let follows = |pair: &[FolioSer]| match pair {
        [one, next] => {
            next.word == one.word.wrapping_add(1) && next.index == one.index.wrapping_add(1)
        }
        _ => false,
    };
    let pairs = entries.windows(2).take_while(|pair| follows(pair)).count();
    pairs.saturating_add(1)
}
