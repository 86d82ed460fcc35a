//! Regions of `reserve_mem=`: the `memblock` subtree (`mm/memblock.c`, v7.3).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use kho::fdt::Node;
use kho::{
    BlockAlloc as _, Kho, KhoError, Order, PageSize, PhysAddr, PhysMemMut as _, SparseMemory,
};
use kho_abi::memblock::{
    COMPATIBLE, NODE_NAME, REGION_COMPATIBLE, SIZE_PROP_NAME, START_PROP_NAME,
};

use crate::content::regular_file;
use crate::error::ComposeError;
use crate::plan::{Plan, RegionPlan};

/// Bytes copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of the subtree: `PAGE_SIZE`.
const FDT_BYTES: u64 = 4096;

/// Puts all regions of a plan into the handover.
pub(crate) fn add_all(
    kho: &mut Kho<SparseMemory>,
    plan: &Plan,
    base: &Path,
) -> Result<(), ComposeError> {
    if plan.regions.is_empty() {
        return Ok(());
    }
    let mut root = Node::new("").with("compatible", &text(COMPATIBLE));
    for region in &plan.regions {
        let region = region.get_ref();
        let addr = add(kho, region, base)?;
        let node = Node::new(&region.label)
            .with("compatible", &text(REGION_COMPATIBLE))
            .with(START_PROP_NAME, &addr.0.to_ne_bytes())
            .with(SIZE_PROP_NAME, &region.size.0.to_ne_bytes());
        root.children.push(node);
    }
    let page = kho.alloc_preserve(FDT_BYTES)?;
    // Eight regions fit into a page.
    kho.memory_mut()
        .write(page, &root.to_fdt(&[]))
        .map_err(KhoError::from)?;
    Ok(kho.add_subtree(NODE_NAME, page, FDT_BYTES)?)
}

/// One region: aligned as its size is, rounded up to a power of two.
fn add(
    kho: &mut Kho<SparseMemory>,
    region: &RegionPlan,
    base: &Path,
) -> Result<PhysAddr, ComposeError> {
    let pages = region.size.0 >> PageSize::Size4K.shift();
    let power = pages.checked_next_power_of_two().unwrap_or(1 << 63);
    let order = Order(power.trailing_zeros());
    let memory = kho.memory_mut();
    let addr = memory.alloc_block(order);
    let addr = addr.ok_or(KhoError::NoMemory { order })?;
    if let Some(path) = &region.content {
        fill(memory, addr, region.size.0, &base.join(path))?;
    }
    kho.preserve_pages(addr, pages)?;
    Ok(addr)
}

fn fill(
    memory: &mut SparseMemory,
    addr: PhysAddr,
    size: u64,
    path: &Path,
) -> Result<(), ComposeError> {
    let content_bytes = regular_file(path)?;
    if content_bytes > size {
        return Err(ComposeError::ContentTooLong {
            path: path.to_owned(),
            content_bytes,
            size,
        });
    }
    let wrap = |source| ComposeError::Content {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(wrap)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < content_bytes {
        let left = usize::try_from(content_bytes - done).unwrap_or(usize::MAX);
        let (bytes, _) = buffer.split_at_mut(left.min(CHUNK_BYTES));
        file.read_exact_at(bytes, done).map_err(wrap)?;
        let at = PhysAddr(addr.0.saturating_add(done));
        memory.write(at, bytes).map_err(KhoError::from)?;
        done += bytes.len() as u64;
    }
    Ok(())
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}
