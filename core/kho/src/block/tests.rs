//! Tables that grow, shrink and arrive, and chains nobody should follow.

use kho_abi::PageSize;
use kho_abi::luo::SessionSer;

use super::*;
use crate::engine::Config;
use crate::errno;
use crate::mem::PhysMemMut as _;
use crate::scratch::ScratchAreas;
use crate::sparse::SparseMemory;

/// 51 to a block, as sessions.
const ENTRY: usize = size_of::<SessionSer>();

fn kho() -> Kho<SparseMemory> {
    let ram = 0x10_0000..0x1000_0000;
    let memory = SparseMemory::new(PageSize::Size4K, core::slice::from_ref(&ram));
    let started = Kho::start(memory, ScratchAreas::default(), None, Config::default());
    started.unwrap().0
}

fn jump(kho: Kho<SparseMemory>) -> Kho<SparseMemory> {
    let handoff = kho.handoff().unwrap();
    let mut memory = kho.into_memory();
    memory.forget_allocations();
    let scratch = ScratchAreas::default();
    Kho::start(memory, scratch, Some(&handoff), Config::default())
        .unwrap()
        .0
}

/// A table with these many entries, each its own number.
fn table(kho: &mut Kho<SparseMemory>, entries: u64) -> BlockSet {
    let mut set = BlockSet::new(ENTRY);
    set.grow(kho, entries).unwrap();
    for index in 0..entries {
        let entry = set.reserve_entry(kho, index).unwrap().unwrap();
        kho.memory_mut().write_value(entry, &index).unwrap();
    }
    assert_eq!(set.reserve_entry(kho, set.room(51)).unwrap(), None);
    set
}

#[test]
fn tables_arrive_in_order_and_leave_nothing_behind() {
    for entries in [0_u64, 1, 50, 51, 52, 102, 103, 510] {
        let mut kho = kho();
        let free = kho.memory().free_bytes();
        let set = table(&mut kho, entries);
        assert_eq!(set.len() as u64, entries.div_ceil(51));
        let head = set.head().unwrap_or(PhysAddr(0));
        let mut kho = jump(kho);
        let (mut set, found) = BlockSet::restore(&mut kho, head, ENTRY).unwrap();
        let found: Vec<u64> = found
            .into_iter()
            .map(|entry| kho.memory().read_value(entry).unwrap())
            .collect();
        assert_eq!(found, (0..entries).collect::<Vec<_>>());
        set.destroy(&mut kho).unwrap();
        // But for the FDT that was received.
        assert_eq!(kho.memory().free_bytes(), free, "{entries}");
    }
}

#[test]
fn a_table_shrinks_to_what_is_needed() {
    let mut kho = kho();
    let mut set = table(&mut kho, 103);
    for (count, blocks) in [(103, 3), (102, 2), (52, 2), (51, 1), (1, 1), (0, 0)] {
        set.shrink(&mut kho, count).unwrap();
        assert_eq!(set.len(), blocks, "{count}");
    }
    assert_eq!((set.head(), set.is_empty()), (None, true));
}

#[test]
fn a_cleared_table_keeps_its_blocks() {
    let mut kho = kho();
    let set = table(&mut kho, 60);
    set.clear(&mut kho).unwrap();
    let head = set.head().unwrap();
    let header: BlockHeader = kho.memory().read_value(head).unwrap();
    assert_eq!((header.next, header.count), (set.blocks[1].0, 0));
    let page = kho.memory().read_page(head).unwrap();
    assert!(page[8..].iter().all(|&byte| byte == 0));
}

#[test]
fn without_memory_a_table_is_as_large_as_before() {
    let mut kho = kho();
    let mut set = table(&mut kho, 51);
    let free = kho.memory().free_bytes();
    kho.memory_mut().limit_allocations(Some(2));
    let error = set.grow(&mut kho, 5 * 51).unwrap_err();
    assert_eq!(error.errno(), errno::ENOMEM);
    assert_eq!((set.len(), kho.memory().free_bytes()), (1, free));
    let head = set.head().unwrap();
    assert_eq!(read_chain(kho.memory(), head, ENTRY).unwrap().len(), 1);
}

#[test]
fn a_table_ends_at_the_kernels_limit() {
    let mut kho = kho();
    let mut set = BlockSet::new(ENTRY);
    set.grow(&mut kho, 10_000 * 51).unwrap();
    let error = set.grow(&mut kho, 10_000 * 51 + 1).unwrap_err();
    assert_eq!(error.errno(), errno::ENOSPC);
    assert_eq!(set.len(), 10_000);
}

/// A received chain of three blocks, with the word at `offset` of block `block` replaced.
fn damaged(block: usize, offset: u64, value: impl Fn(&[PhysAddr]) -> u64) -> KhoError {
    let mut kho = kho();
    let set = table(&mut kho, 120);
    let blocks = set.blocks.clone();
    let at = PhysAddr(blocks[block].0 + offset);
    let value = value(&blocks);
    kho.memory_mut().write_value(at, &value).unwrap();
    let mut kho = jump(kho);
    let error = BlockSet::restore(&mut kho, blocks[0], ENTRY).unwrap_err();
    // Everything that could be reached is freed.
    let left = kho.unclaimed().count();
    assert!(left <= 2 - block, "{left} blocks are left");
    error
}

#[test]
fn chains_the_kernel_refuses_are_refused_and_freed() {
    for count in [0, 52, u64::MAX] {
        for block in 0..3 {
            let error = damaged(block, 8, |_| count);
            assert!(
                matches!(error, KhoError::Block(BlockError::Count { count: found, capacity: 51, .. })
                    if found == count),
                "{error}"
            );
            assert_eq!(error.errno(), errno::EINVAL);
        }
    }
    for to in 0..3 {
        let error = damaged(2, 0, |blocks| blocks[to].0);
        assert!(
            matches!(error, KhoError::Block(BlockError::Endless { .. })),
            "{error}"
        );
    }
    let error = damaged(1, 0, |_| 0x7fff_ffff_f000);
    assert!(
        matches!(error, KhoError::Block(BlockError::Memory(_))),
        "{error}"
    );
}

#[test]
fn an_empty_block_at_the_end_is_what_a_next_kernel_dies_of() {
    let mut kho = kho();
    let mut set = table(&mut kho, 51);
    set.grow(&mut kho, 52).unwrap();
    let blocks = [set.blocks[0], set.blocks[1]];
    let error = read_chain(kho.memory(), blocks[0], ENTRY).unwrap_err();
    let count = BlockError::Count {
        addr: blocks[1],
        count: 0,
        capacity: 51,
    };
    assert_eq!(error, count);
}
