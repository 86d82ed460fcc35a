//! A large handover in a sparse file: memfds in folios of one page each.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context as _;
use kho::{
    Key, MemError, Order, PageAlloc, PageSize, PhysAddr, PhysMem, PhysMemMut, RadixTree, RootFdt,
    Subtrees,
};
use kho_abi::block::BlockHeader;
use kho_abi::kexec_handover::{Vmalloc, VmallocFlags};
use kho_abi::luo::{FileSer, FileSetSer, LuoSer, SessionSer};
use kho_abi::memfd::{FolioFlags, FolioSer, MemfdSer, Seals};
use zerocopy::IntoBytes as _;

const PAGE: u64 = 4096;
const PAGE_SIZE: PageSize = PageSize::Size4K;
/// Where tables start, and where the tree's nodes do: neither reaches the other.
const TABLES: u64 = 0x1_0000_0000;
const NODES: u64 = 0x1000_0000;
/// Where content would be; it is never written nor read.
const CONTENT: u64 = 0x100_0000_0000;
/// Content of one memfd.
const MEMFD: u64 = 32 << 30;

/// Memory in a file: page by page, never more than one of it in a process.
struct FileMemory {
    file: File,
    end: u64,
    next_node: u64,
    next_table: u64,
}

impl PhysMem for FileMemory {
    fn page_size(&self) -> PageSize {
        PAGE_SIZE
    }

    fn is_memory(&self, addr: PhysAddr, bytes: u64) -> bool {
        addr.checked_add(bytes).is_some_and(|end| end.0 <= self.end)
    }

    fn read(&self, addr: PhysAddr, bytes: &mut [u8]) -> Result<(), MemError> {
        let len_bytes = bytes.len() as u64;
        let read = self.file.read_exact_at(bytes, addr.0);
        read.map_err(|_io| MemError { addr, len_bytes })
    }
}

impl PhysMemMut for FileMemory {
    fn write(&mut self, addr: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
        let len_bytes = bytes.len() as u64;
        let written = self.file.write_all_at(bytes, addr.0);
        written.map_err(|_io| MemError { addr, len_bytes })
    }
}

impl PageAlloc for FileMemory {
    fn alloc_page(&mut self) -> Option<PhysAddr> {
        let page = self.next_node;
        self.next_node += PAGE;
        (self.next_node <= TABLES).then_some(PhysAddr(page))
    }

    fn free_page(&mut self, _page: PhysAddr) {}
}

impl FileMemory {
    /// Pages in a row for tables.
    fn table(&mut self, pages: u64) -> PhysAddr {
        let table = self.next_table;
        self.next_table += pages * PAGE;
        PhysAddr(table)
    }
}

/// Address of the header of the first memfd.
pub(crate) const FIRST_MEMFD: PhysAddr = PhysAddr(TABLES + 4 * PAGE);

/// Writes content for the first `bytes` of memfds, which else are holes.
pub(crate) fn write_content(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let file = File::options().write(true).open(path)?;
    let mut word = 0_u64;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        for place in buffer.chunks_exact_mut(8) {
            word = word
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(at | 1);
            place.copy_from_slice(&word.to_le_bytes());
        }
        file.write_all_at(&buffer, CONTENT + at)?;
        at += buffer.len() as u64;
    }
    Ok(())
}

/// Writes a handover with `gib` GiB in memfds to `path`; where its root is.
pub(crate) fn write(path: &Path, gib: u64) -> anyhow::Result<PhysAddr> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path);
    let file = file.with_context(|| format!("create {}", path.display()))?;
    let end = CONTENT + (gib << 30);
    file.set_len(end)?;
    let mut mem = FileMemory {
        file,
        end,
        next_node: NODES,
        next_table: TABLES,
    };
    let root = mem.table(1);
    let luo = mem.table(1);
    let tree = RadixTree::create(&mut mem)?;
    let sessions = mem.table(1);
    let files = mem.table(1);
    let mut entries = Vec::new();
    let mut content = CONTENT;
    while content < end {
        let bytes = MEMFD.min(end - content);
        let header = memfd(&mut mem, content, bytes)?;
        let mut compatible = [0; 48];
        put(&mut compatible, kho_abi::memfd::COMPATIBLE);
        entries.push(FileSer {
            compatible,
            data: header.0,
            token: entries.len() as u64,
        });
        content += bytes;
    }
    anyhow::ensure!(
        entries.len() <= 63,
        "{gib} GiB do not fit in one block of files"
    );
    let count = entries.len() as u64;
    mem.write_value(files, &BlockHeader { next: 0, count })?;
    mem.write(PhysAddr(files.0 + 16), entries.as_bytes())?;
    let mut name = [0; 64];
    put(&mut name, "large");
    let session = SessionSer {
        name,
        file_set_ser: FileSetSer {
            files: files.0,
            count,
        },
    };
    mem.write_value(sessions, &BlockHeader { next: 0, count: 1 })?;
    mem.write_value(PhysAddr(sessions.0 + 16), &session)?;
    let mut compatible = [0; 8];
    put(&mut compatible, kho_abi::luo::COMPATIBLE);
    let state = LuoSer {
        compatible,
        liveupdate_num: 1,
        sessions_pa: sessions.0,
        flbs_pa: 0,
    };
    mem.write_value(luo, &state)?;
    let mut fdt = RootFdt {
        memory_map: tree.root(),
        subtrees: Vec::new(),
    };
    fdt.add(kho_abi::luo::ENTRY_NAME, luo, 32, PAGE_SIZE)?;
    let bytes = fdt.to_bytes(PAGE_SIZE)?;
    mem.write(root, &bytes)?;
    preserve(&mut mem, tree, end)?;
    Ok(root)
}

fn put(to: &mut [u8], text: &str) {
    for (to, from) in to.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// A memfd whose content is at `content`; where its header is.
fn memfd(mem: &mut FileMemory, content: u64, bytes: u64) -> anyhow::Result<PhysAddr> {
    let folios = bytes / PAGE;
    let header = mem.table(1);
    let table_pages = (folios * 16).div_ceil(PAGE);
    let table = mem.table(table_pages);
    let mut page = Vec::with_capacity(1 << 20);
    for index in 0..folios {
        let pfn = (content >> 12) + index;
        let entry = FolioSer::new(pfn, FolioFlags(3), index).context("a frame number")?;
        page.extend_from_slice(entry.as_bytes());
        if page.len() == page.capacity() || index + 1 == folios {
            let at = table.0 + (index + 1) * 16 - page.len() as u64;
            mem.write(PhysAddr(at), &page)?;
            page.clear();
        }
    }
    let chunks = table_pages / 511 + 1;
    let first = mem.table(chunks);
    for chunk in 0..chunks {
        let at = PhysAddr(first.0 + chunk * PAGE);
        let next = if chunk + 1 < chunks { at.0 + PAGE } else { 0 };
        let pages =
            (chunk * 511..table_pages.min((chunk + 1) * 511)).map(|page| table.0 + page * PAGE);
        let words: Vec<u64> = std::iter::once(next).chain(pages).collect();
        mem.write(at, words.as_bytes())?;
    }
    let ser = MemfdSer {
        pos: 0,
        size: bytes,
        seals: Seals(0),
        flags: 0,
        nr_folios: folios,
        folios: Vmalloc {
            first: first.0,
            total_pages: u32::try_from(table_pages)?,
            flags: VmallocFlags::ALLOC,
            order: 0,
        },
    };
    mem.write_value(header, &ser)?;
    Ok(header)
}

/// Names every table and all content in the tree.
fn preserve(mem: &mut FileMemory, tree: RadixTree, end: u64) -> anyhow::Result<()> {
    let key = |addr: u64| Key::new(PhysAddr(addr), Order(0), PAGE_SIZE);
    let mut table = TABLES;
    while table < mem.next_table {
        tree.add(mem, key(table)?)?;
        table += PAGE;
    }
    // One key makes a leaf; the others of it are written as a page.
    let leaf_bytes = PAGE << 15;
    let mut content = CONTENT;
    while content < end {
        tree.add(mem, key(content)?)?;
        content += leaf_bytes;
    }
    let first = key(CONTENT)?.word();
    let mut full = Vec::new();
    let mut visits = tree.visit(mem);
    while let Some(node) = visits.next_leaf() {
        if let Subtrees::Leaf(leaf) = node? {
            if leaf.first_key >= first {
                full.push(leaf.addr);
            }
        }
    }
    for leaf in full {
        mem.write(leaf, &[0xff; 4096])?;
    }
    Ok(())
}
