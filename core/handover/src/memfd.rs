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
        let page_bytes = self.reader.mem.page_size().bytes();
        let mut page = vec![0; page_bytes];
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
            let mut addr = block;
            for _ in 0..block_pages {
                if tally.number >= ser.nr_folios {
                    return Ok(());
                }
                self.reader.mem.read(addr, &mut page)?;
                self.entries(&page, ser, tally);
                let next = u64::try_from(page_bytes).unwrap_or(u64::MAX);
                addr = PhysAddr(addr.0.saturating_add(next));
            }
        }
        Ok(())
    }

    /// One page of the table.
    fn entries(&mut self, page: &[u8], ser: &MemfdSer, tally: &mut Tally) {
        let page_size = self.reader.mem.page_size();
        let page_bytes = Order(0).bytes(page_size).unwrap_or(1);
        let end = ser.size.div_ceil(page_bytes);
        let left = ser.nr_folios.saturating_sub(tally.number);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        for entry in page.chunks_exact(ENTRY_BYTES).take(left) {
            let number = tally.number;
            tally.number = number.saturating_add(1);
            let Ok(entry) = FolioSer::read_from_bytes(entry) else {
                continue;
            };
            if entry.pfn() == 0 {
                tally.skipped = tally.skipped.saturating_add(1);
                continue;
            }
            let order = self.folio(Pfn(entry.pfn()));
            tally.orders.count(order);
            let index = entry.index;
            if index < tally.next_index || index >= end {
                self.problem(MemfdProblem::Index { number, index });
                continue;
            }
            let hole = index.saturating_sub(tally.next_index);
            tally.holes = tally.holes.saturating_add(hole);
            tally.next_index = index.saturating_add(order.pages().unwrap_or(1));
            if !entry.flags().contains(FolioFlags::UPTODATE) {
                tally.not_uptodate = tally.not_uptodate.saturating_add(1);
            }
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
