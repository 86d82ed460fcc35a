//! Reads a handover into a view.

use handover::{Event, Orders, Owner, examine};
use kho::{PhysAddr, PhysMem, ScratchAreas};
use kho_abi::memfd::Seals;
use kho_abi::pstore::{self, Reason, RecordSer};

use crate::model::{
    Area, Block, Extent, File, Flb, Memfd, Metadata, Problem, Pstore, PstoreRecord, Region,
    Session, Subtree, Totals, View,
};

/// Problems and extents that are listed at most: what is more is counted.
const LISTED: usize = 100_000;

/// Reads the handover whose root FDT is at `root`.
pub fn collect<M: PhysMem>(mem: &M, root: PhysAddr, scratch: Option<&ScratchAreas>) -> View {
    let mut view = View {
        root: hex(root.0),
        scratch: scratch.map(areas),
        ..View::default()
    };
    let totals = examine(mem, root, scratch, &mut |event| view.take(&event));
    view.totals = Totals {
        preserved_bytes: totals.preserved.bytes(mem.page_size()),
        blocks: blocks(&totals.preserved),
        tree_nodes: totals.tree_nodes,
        sessions: totals.sessions,
        files: totals.files,
        memfd_bytes: totals.memfd_bytes,
        unknown_bytes: totals.unknown_bytes,
        problems: totals.problems,
    };
    view.join_extents();
    view
}

impl View {
    fn take(&mut self, event: &Event<'_>) {
        match *event {
            Event::Root(root) => {
                let subtrees = root.subtrees.iter().map(|subtree| Subtree {
                    name: subtree.name.clone(),
                    addr: subtree.data.map(|addr| hex(addr.0)),
                    bytes: subtree.size_bytes,
                });
                self.subtrees = subtrees.collect();
            }
            Event::Metadata {
                release,
                kexec_count,
            } => {
                self.metadata = Some(Metadata {
                    release: release.to_owned(),
                    kexec_count,
                });
            }
            Event::Region(region) => self.regions.push(Region {
                label: region.label.clone(),
                addr: hex(region.start.0),
                bytes: region.bytes,
            }),
            Event::Pstore { capacity_bytes } => {
                self.pstore = Some(Pstore {
                    version: pstore::VERSION,
                    capacity_bytes,
                    records: Vec::new(),
                });
            }
            Event::PstoreRecord(record) => {
                if let Some(pstore) = &mut self.pstore {
                    pstore.records.extend(view_record(record));
                }
            }
            Event::Luo { liveupdate_num } => self.liveupdate_num = Some(liveupdate_num),
            Event::Session(session) => self.sessions.push(Session {
                name: session.name.clone(),
                count: session.files,
                files: Vec::new(),
            }),
            Event::File(file) => {
                if let Some(session) = self.sessions.last_mut() {
                    session.files.push(view_file(file));
                }
            }
            Event::Flb(flb) => self.flbs.push(Flb {
                name: flb.name.clone(),
                data: hex(flb.data),
                count: flb.count,
            }),
            Event::Extent { addr, bytes, owner } if self.extents.len() < LISTED => {
                self.extents.push(Extent {
                    addr: hex(addr.0),
                    bytes,
                    owner: owner_name(owner),
                    start: addr.0,
                });
            }
            Event::Problem(problem) if self.problems.len() < LISTED => {
                self.problems.push(Problem {
                    consequence: problem.consequence().name(),
                    message: problem.to_string(),
                });
            }
            // Sums are taken from what `examine` answers.
            _ => {}
        }
    }

    fn join_extents(&mut self) {
        self.extents.sort_by_key(|extent| extent.start);
        self.extents.dedup_by(|next, before| {
            let touches = before.start.saturating_add(before.bytes) == next.start;
            let joins = touches && before.owner == next.owner;
            if joins {
                before.bytes = before.bytes.saturating_add(next.bytes);
            }
            joins
        });
    }
}

fn view_file(file: &handover::File) -> File {
    File {
        token: hex(file.token),
        handler: file.handler.clone(),
        data: hex(file.data),
        memfd: file.memfd.as_ref().map(|memfd| Memfd {
            size_bytes: memfd.size_bytes,
            pos_bytes: memfd.pos_bytes,
            seals: seal_names(memfd.seals),
            blocks: blocks(&memfd.orders),
        }),
    }
}

/// Only records that are where their reason belongs are told.
fn view_record(record: &RecordSer) -> Option<PstoreRecord> {
    let reason = Reason(record.reason);
    Some(PstoreRecord {
        slot: reason.slot()?.name(),
        reason: reason.name()?,
        count: record.count,
        part: record.part,
        size_bytes: record.size,
        is_compressed: record.compressed == 1,
        time_sec: record.time_sec,
        time_nsec: record.time_nsec,
    })
}

fn areas(scratch: &ScratchAreas) -> Vec<Area> {
    let area = |area: &kho::Area| Area {
        addr: hex(area.addr.0),
        bytes: area.bytes,
    };
    scratch.areas().iter().map(area).collect()
}

fn blocks(orders: &Orders) -> Vec<Block> {
    let block = |(order, count): (kho::Order, u64)| Block {
        order: order.0,
        count,
    };
    orders.iter().map(block).collect()
}

fn seal_names(seals: Seals) -> Vec<String> {
    let names = [
        (Seals::SEAL, "seal"),
        (Seals::SHRINK, "shrink"),
        (Seals::GROW, "grow"),
        (Seals::WRITE, "write"),
        (Seals::FUTURE_WRITE, "future-write"),
        (Seals::EXEC, "exec"),
    ];
    let mut names: Vec<String> = names
        .into_iter()
        .filter(|&(seal, _)| seals.contains(seal))
        .map(|(_, name)| name.to_owned())
        .collect();
    if seals.unknown() != 0 {
        names.push(hex(seals.unknown().into()));
    }
    names
}

fn owner_name(owner: Owner) -> &'static str {
    match owner {
        Owner::Root => "root",
        Owner::Luo => "luo",
        Owner::MemfdTable => "memfd-table",
        Owner::Memfd => "memfd",
        Owner::ReserveMem => "reserve-mem",
        _ => "unknown",
    }
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}
