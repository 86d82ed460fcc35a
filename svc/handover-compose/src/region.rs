//! Regions of `reserve_mem=`: the `memblock` subtree (`mm/memblock.c`, v7.3).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use kho::memblock::Region;
use kho::{
    BlockAlloc as _, Kho, KhoError, Order, PageSize, PhysAddr, PhysMemMut as _, SparseMemory,
};

use crate::content::regular_file;
use crate::error::ComposeError;
use crate::plan::{Plan, RegionPlan};

/// Bytes copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Puts all regions of a plan into the handover.
pub(crate) fn add_all(
    kho: &mut Kho<SparseMemory>,
    plan: &Plan,
    base: &Path,
) -> Result<(), ComposeError> {
    if plan.regions.is_empty() {
        return Ok(());
    }
    let mut regions = Vec::new();
    for region in &plan.regions {
        let region = region.get_ref();
        regions.push(Region {
            label: region.label.clone(),
            start: add(kho, region, base)?,
            bytes: region.size.0,
        });
    }
    kho.preserve_regions(&regions)?;
    Ok(())
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
