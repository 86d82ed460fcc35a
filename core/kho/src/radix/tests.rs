//! The tree against a set, and against damage.

use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::phys::Order;
use crate::sparse::SparseMemory;

fn key(addr: u64, order: u32, page_size: PageSize) -> Key {
    Key::new(PhysAddr(addr), Order(order), page_size).unwrap()
}

fn ram(page_size: PageSize) -> SparseMemory {
    let ram = 0x10_0000..0x4000_0000;
    SparseMemory::new(page_size, core::slice::from_ref(&ram))
}

/// Pages that were given out.
fn used_pages(ram: &SparseMemory) -> u64 {
    (0x3ff0_0000 - ram.free_bytes()) / ram.page_size().bytes() as u64
}

/// Indices from the root down to the leaf's byte and mask, read out of memory by hand.
#[test]
fn a_key_seen_on_linux_is_where_linux_has_it() {
    let mut ram = ram(PageSize::Size4K);
    let tree = RadixTree::create(&mut ram).unwrap();
    tree.add(&mut ram, key(0x5c_c000, 0, PageSize::Size4K))
        .unwrap();
    let mut node = tree.root();
    for index in [2, 0, 0, 0, 0_u64] {
        node = PhysAddr(ram.read_value(PhysAddr(node.0 + index * 8)).unwrap());
        assert_ne!(node.0, 0);
    }
    let leaf = ram.read_page(node).unwrap();
    assert_eq!(leaf[185], 0x10);
    assert_eq!(leaf.iter().filter(|&&byte| byte != 0).count(), 1);
}

#[test]
fn deleting_leaves_the_nodes_and_tells_what_was_there() {
    let mut ram = ram(PageSize::Size4K);
    let tree = RadixTree::create(&mut ram).unwrap();
    let (block, other) = (
        key(0x2000, 1, PageSize::Size4K),
        key(0x4000, 1, PageSize::Size4K),
    );
    tree.add(&mut ram, block).unwrap();
    let pages = used_pages(&ram);
    assert_eq!(tree.del(&mut ram, other), Ok(false));
    assert_eq!(tree.del(&mut ram, block), Ok(true));
    assert_eq!(tree.del(&mut ram, block), Ok(false));
    assert_eq!((tree.walk(&ram).count(), used_pages(&ram)), (0, pages));
}

#[test]
fn without_memory_nothing_is_added_and_nothing_leaks() {
    for page_size in PageSize::ALL {
        let new_nodes = u64::from(page_size.radix_levels()) - 1;
        for left in 0..new_nodes {
            let mut ram = ram(page_size);
            let tree = RadixTree::create(&mut ram).unwrap();
            ram.limit_allocations(Some(left));
            let block = key(0x10_0000, 0, page_size);
            assert_eq!(tree.add(&mut ram, block), Err(RadixError::NoMemory));
            assert_eq!((used_pages(&ram), tree.walk(&ram).count()), (1, 0));
        }
    }
}

#[test]
fn damage_is_an_error_with_its_place() {
    let mut ram = ram(PageSize::Size4K);
    let tree = RadixTree::create(&mut ram).unwrap();
    // Entry 7 of the root: an address that is no page, then one that is not in memory, then one
    // of a key that is too wide.
    let slot = PhysAddr(tree.root().0 + 7 * 8);
    ram.write_value(slot, &0x1234_u64).unwrap();
    let error = tree.walk(&ram).next().unwrap().unwrap_err();
    assert_eq!(
        error,
        RadixError::Misaligned {
            addr: PhysAddr(0x1234)
        }
    );
    ram.write_value(slot, &0x7fff_0000_u64).unwrap();
    let error = tree.walk(&ram).next().unwrap().unwrap_err();
    assert!(matches!(error, RadixError::Outside(_)), "{error}");
    // The root again: a walk along it would not end.
    ram.write_value(slot, &tree.root().0).unwrap();
    let mut walk = tree.walk(&ram);
    let error = walk.next().unwrap().unwrap_err();
    assert!(
        matches!(error, RadixError::Shared { addr } if addr == tree.root()),
        "{error}"
    );
    assert!(walk.next().is_none(), "an error ends the walk");
}

fn blocks() -> impl Strategy<Value = (PageSize, Vec<(u64, u32)>)> {
    let block = (any::<u64>(), 0..19_u32);
    let page_size = prop_oneof![
        Just(PageSize::Size4K),
        Just(PageSize::Size16K),
        Just(PageSize::Size64K)
    ];
    (page_size, proptest::collection::vec(block, 0..60))
}

proptest! {
    #[test]
    fn the_tree_is_a_set_that_walks_in_order((page_size, blocks) in blocks()) {
        let mut ram = ram(page_size);
        let tree = RadixTree::create(&mut ram).unwrap();
        let mut set = BTreeSet::new();
        for (number, (addr, order)) in blocks.into_iter().enumerate() {
            let shift = order + page_size.shift();
            let key = key(addr >> shift << shift, order, page_size);
            tree.add(&mut ram, key).unwrap();
            set.insert(key);
            if number % 3 == 2 {
                prop_assert_eq!(tree.del(&mut ram, key), Ok(true));
                set.remove(&key);
            }
        }
        let walked: Vec<_> = tree.walk(&ram).map(Result::unwrap).collect();
        prop_assert_eq!(walked, set.iter().copied().collect::<Vec<_>>());
        for &key in &set {
            prop_assert_eq!(tree.contains(&ram, key), Ok(true));
            prop_assert!(tree.leaf(&ram, key).unwrap().unwrap().contains(key));
        }
    }
}
