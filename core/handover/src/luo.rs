//! LUO's sessions, files and shared objects.

use alloc::collections::BTreeSet;

use kho::block::{self, Block};
use kho::{PhysAddr, PhysMem};
use kho_abi::PageSize;
use kho_abi::luo::{
    COMPATIBLE, ENTRY_NAME, FLB_PAGE_COUNT, FileSer, FlbHeaderSer, FlbSer, LuoSer, SessionSer,
};
use kho_abi::memfd;

use crate::event::{Event, File, Flb, Owner, Session};
use crate::examine::Reader;
use crate::memfd as preserved_memfd;
use crate::problem::Problem;
use crate::text;

pub(crate) fn read<M: PhysMem>(reader: &mut Reader<'_, '_, M>, addr: PhysAddr, bytes: u64) {
    let expected_bytes = u64::try_from(size_of::<LuoSer>()).unwrap_or(u64::MAX);
    if bytes < expected_bytes {
        return reader.problem(Problem::BlobSize {
            name: ENTRY_NAME,
            found_bytes: bytes,
            expected_bytes,
        });
    }
    let luo: LuoSer = match reader.mem.read_value(addr) {
        Ok(luo) => luo,
        Err(error) => return reader.unreadable("the state of LUO", error),
    };
    let version = text::lossy(&luo.compatible);
    if version != COMPATIBLE {
        return reader.problem(Problem::LuoVersion { found: version });
    }
    reader.tell(Event::Luo {
        liveupdate_num: luo.liveupdate_num,
    });
    sessions(reader, PhysAddr(luo.sessions_pa));
    if luo.flbs_pa != 0 {
        flbs(reader, PhysAddr(luo.flbs_pa));
    }
}

fn sessions<M: PhysMem>(reader: &mut Reader<'_, '_, M>, head: PhysAddr) {
    let blocks = match block::read_chain(reader.mem, head, size_of::<SessionSer>()) {
        Ok(blocks) => blocks,
        Err(error) => return reader.problem(Problem::Sessions(error)),
    };
    claim_blocks(reader, "a block of the table of sessions", &blocks);
    let mut names = BTreeSet::new();
    let entries = blocks
        .into_iter()
        .flat_map(|block| block.entries(size_of::<SessionSer>()));
    for (index, entry) in (0_u64..).zip(entries) {
        let entry: SessionSer = match reader.mem.read_value(entry) {
            Ok(entry) => entry,
            Err(error) => {
                reader.unreadable("a session", error);
                continue;
            }
        };
        if text::terminated(&entry.name).is_none() {
            reader.problem(Problem::SessionName { index });
        }
        let session = Session {
            index,
            name: text::lossy(&entry.name),
            files: entry.file_set_ser.count,
        };
        // Limited by the chain: 510,000 names at most.
        if !names.insert(entry.name) {
            let name = session.name.clone();
            reader.problem(Problem::SessionTwice { name });
        }
        reader.totals.sessions = reader.totals.sessions.saturating_add(1);
        reader.tell(Event::Session(&session));
        files(reader, &session, PhysAddr(entry.file_set_ser.files));
    }
}

fn claim_blocks<M: PhysMem>(reader: &mut Reader<'_, '_, M>, what: &'static str, blocks: &[Block]) {
    for block in blocks {
        reader.claim(what, block.addr, Owner::Luo);
    }
}

fn files<M: PhysMem>(reader: &mut Reader<'_, '_, M>, session: &Session, head: PhysAddr) {
    let name = || session.name.clone();
    let expected = session.files;
    if head.0 == 0 {
        if expected != 0 {
            let session = name();
            reader.problem(Problem::NoFiles { session, expected });
        }
        return;
    }
    let blocks = match block::read_chain(reader.mem, head, size_of::<FileSer>()) {
        Ok(blocks) => blocks,
        Err(error) => {
            let session = name();
            return reader.problem(Problem::Files { session, error });
        }
    };
    claim_blocks(reader, "a block of a table of files", &blocks);
    let found = blocks
        .iter()
        .fold(0, |sum: u64, block| sum.saturating_add(block.count));
    if found != expected {
        reader.problem(Problem::FileCount {
            session: name(),
            expected,
            found,
        });
    }
    let mut tokens = BTreeSet::new();
    let entries = blocks
        .into_iter()
        .flat_map(|block| block.entries(size_of::<FileSer>()));
    for (index, entry) in (0_u64..).zip(entries) {
        let entry: FileSer = match reader.mem.read_value(entry) {
            Ok(entry) => entry,
            Err(error) => {
                reader.unreadable("a file", error);
                continue;
            }
        };
        let token = entry.token;
        if !tokens.insert(token) {
            let session = name();
            reader.problem(Problem::TokenTwice { session, token });
        }
        file(reader, session, index, &entry);
    }
}

fn file<M: PhysMem>(
    reader: &mut Reader<'_, '_, M>,
    session: &Session,
    index: u64,
    entry: &FileSer,
) {
    let token = entry.token;
    let handler = text::lossy(&entry.compatible);
    if text::terminated(&entry.compatible).is_none() {
        reader.problem(Problem::HandlerName {
            session: session.name.clone(),
            token,
        });
    } else if handler != memfd::COMPATIBLE {
        reader.problem(Problem::Handler {
            session: session.name.clone(),
            token,
            handler: handler.clone(),
        });
    }
    let is_memfd = handler == memfd::COMPATIBLE;
    let memfd =
        is_memfd.then(|| preserved_memfd::read(reader, session, token, PhysAddr(entry.data)));
    let memfd = memfd.flatten();
    reader.totals.files = reader.totals.files.saturating_add(1);
    if let Some(memfd) = &memfd {
        reader.totals.memfds = reader.totals.memfds.saturating_add(1);
        let bytes = reader.totals.memfd_bytes;
        reader.totals.memfd_bytes = bytes.saturating_add(memfd.size_bytes);
    }
    reader.tell(Event::File(&File {
        index,
        token,
        handler,
        data: entry.data,
        memfd,
    }));
}

/// Entries that fit in the page of FLBs.
fn flb_capacity(page_size: PageSize) -> u64 {
    let entries = page_size
        .bytes()
        .saturating_sub(size_of::<FlbHeaderSer>())
        .checked_div(size_of::<FlbSer>());
    entries
        .and_then(|entries| u64::try_from(entries).ok())
        .unwrap_or(0)
}

fn flbs<M: PhysMem>(reader: &mut Reader<'_, '_, M>, addr: PhysAddr) {
    reader.claim("the page of FLBs", addr, Owner::Luo);
    let header: FlbHeaderSer = match reader.mem.read_value(addr) {
        Ok(header) => header,
        Err(error) => return reader.unreadable("the page of FLBs", error),
    };
    let most = flb_capacity(reader.mem.page_size());
    if header.pgcnt != FLB_PAGE_COUNT || header.count > most {
        return reader.problem(Problem::Flbs {
            addr,
            pages: header.pgcnt,
            count: header.count,
        });
    }
    let entry_bytes = u64::try_from(size_of::<FlbSer>()).unwrap_or(u64::MAX);
    let header_bytes = u64::try_from(size_of::<FlbHeaderSer>()).unwrap_or(u64::MAX);
    for index in 0..header.count {
        let offset = index
            .saturating_mul(entry_bytes)
            .saturating_add(header_bytes);
        let entry: FlbSer = match reader
            .mem
            .read_value(PhysAddr(addr.0.saturating_add(offset)))
        {
            Ok(entry) => entry,
            Err(error) => return reader.unreadable("an FLB", error),
        };
        reader.tell(Event::Flb(&Flb {
            name: text::lossy(&entry.name),
            data: entry.data,
            count: entry.count,
        }));
    }
}
