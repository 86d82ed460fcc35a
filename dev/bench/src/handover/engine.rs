//! The engine in memory: the tree, and receiving a handover.

use std::time::{Duration, Instant};

use kho::{Config, Key, Kho, Order, PageSize, PhysAddr, RadixTree, ScratchAreas, SparseMemory};

/// Keys of a tree.
const KEYS: u64 = 1_000_000;
/// Blocks of a handover.
const BLOCKS: u64 = 100_000;

/// Measures, a line each.
///
/// # Errors
/// The engine failed.
pub fn measure() -> anyhow::Result<Vec<String>> {
    let ram = 0x10_0000..0x40_0000_0000;
    let memory = || SparseMemory::new(PageSize::Size4K, std::slice::from_ref(&ram));
    let mut lines = Vec::new();
    let mut line = |what: &str, count: u64, took: Duration| {
        let each = took.as_nanos() / u128::from(count.max(1));
        lines.push(format!(
            "{what:<44} {each:>6} ns each, {took:.2?} for {count}"
        ));
    };

    let mut mem = memory();
    let tree = RadixTree::create(&mut mem)?;
    let begin = Instant::now();
    for page in 0..KEYS {
        let key = Key::new(PhysAddr(page << 12), Order(0), PageSize::Size4K)?;
        tree.add(&mut mem, key)?;
    }
    line("add keys of pages in a row", KEYS, begin.elapsed());
    let begin = Instant::now();
    let walked = tree.walk(&mem).count();
    line("walk them", u64::try_from(walked)?, begin.elapsed());

    let mut kho = Kho::start(memory(), ScratchAreas::default(), None, Config::default())?.0;
    let begin = Instant::now();
    for _ in 0..BLOCKS {
        let block = kho.alloc_folio(Order(0))?;
        kho.preserve_folio(block)?;
    }
    line("allocate and preserve pages", BLOCKS, begin.elapsed());
    let handoff = kho.handoff();
    let mut mem = kho.into_memory();
    mem.forget_allocations();
    let begin = Instant::now();
    let received = Kho::start(
        mem,
        ScratchAreas::default(),
        handoff.as_ref(),
        Config::default(),
    )?
    .0;
    line("receive them in the next boot", BLOCKS, begin.elapsed());
    anyhow::ensure!(
        received.unclaimed().count() == usize::try_from(BLOCKS)?,
        "blocks are missing"
    );
    Ok(lines)
}
