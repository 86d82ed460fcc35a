//! Claims against sets.

use std::collections::BTreeSet;
use std::vec::Vec;

use kho::SparseMemory;
use proptest::prelude::*;

use super::*;

const PAGE_SIZE: PageSize = PageSize::Size4K;

/// A tree of these blocks, and what is wrong with it.
fn read(blocks: &[(u64, u32)], scratch: Option<&ScratchAreas>) -> (Preserved, Vec<Problem>) {
    let ram = 0x10_0000..0x8000_0000;
    let mut mem = SparseMemory::new(PAGE_SIZE, core::slice::from_ref(&ram));
    // Nodes are above the blocks.
    mem.withhold(0x10_0000..0x6000_0000);
    let tree = RadixTree::create(&mut mem).unwrap();
    for &(addr, order) in blocks {
        let key = Key::new(PhysAddr(addr), Order(order), PAGE_SIZE).unwrap();
        tree.add(&mut mem, key).unwrap();
    }
    let mut problems = Vec::new();
    let preserved = Preserved::read(&mem, tree, scratch, &mut |problem| problems.push(problem));
    (preserved, problems)
}

fn overlaps(problems: &[Problem]) -> usize {
    let is_overlap = |problem: &&Problem| matches!(problem, Problem::Overlap { .. });
    problems.iter().filter(is_overlap).count()
}

#[test]
fn single_pages_in_a_large_block_are_found_on_both_paths() {
    // The block covers the leaf of single pages, and only a part of it.
    for order in [15, 9] {
        let block = 0x1000_0000;
        let (_, problems) = read(&[(block, order), (block + 0x3000, 0)], None);
        assert_eq!(overlaps(&problems), 1, "{problems:?}");
    }
    let (_, problems) = read(&[(0x1000_0000, 9), (0x1000_0000 + (2 << 20), 0)], None);
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn single_pages_in_scratch_and_outside_of_memory_are_found() {
    let area = kho::Area {
        addr: PhysAddr(0x1000_4000),
        bytes: 0x1000,
    };
    let scratch = ScratchAreas::new([area].into());
    let pages = [(0x1000_3000, 0), (0x1000_4000, 0), (0x9000_0000, 0)];
    let (preserved, problems) = read(&pages, Some(&scratch));
    let expected = [
        Problem::InScratch {
            addr: PhysAddr(0x1000_4000),
            order: Order(0),
        },
        Problem::NotMemory {
            addr: PhysAddr(0x9000_0000),
            order: Order(0),
        },
    ];
    assert_eq!(problems, expected);
    assert_eq!(preserved.blocks.blocks(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pages near the border of two leaves.
    #[test]
    fn runs_end_where_a_page_is_not_there_or_is_used(
        holes in proptest::collection::btree_set(0..400_u64, 0..30),
        claims in proptest::collection::vec((0..400_u64, 1..300_u64), 1..20),
    ) {
        let first = 0x8000 * 3 - 200;
        let pages: Vec<_> = (0..400).filter(|page| !holes.contains(page)).collect();
        let blocks: Vec<_> = pages.iter().map(|page| ((first + page) << 12, 0)).collect();
        let (mut preserved, problems) = read(&blocks, None);
        prop_assert!(problems.is_empty(), "{:?}", problems);
        let mut free: BTreeSet<u64> = pages.iter().copied().collect();
        for (start, length) in claims {
            let expected = (start..start + length).take_while(|page| free.contains(page)).count() as u64;
            if length == 1 {
                let claim = preserved.claim(PhysAddr((first + start) << 12));
                prop_assert_eq!(claim == Claim::First(Order(0)), expected == 1);
            } else {
                prop_assert_eq!(preserved.claim_run(Pfn(first + start), length), expected);
            }
            for page in start..start + expected {
                free.remove(&page);
            }
        }
        let unclaimed: BTreeSet<u64> = preserved.unclaimed().map(|(addr, _)| (addr.0 >> 12) - first).collect();
        prop_assert_eq!(unclaimed, free);
    }
}
