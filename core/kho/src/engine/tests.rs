//! A machine that hands over to itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::vec;

use kho_abi::PageSize;
use proptest::prelude::*;

use super::*;
use crate::errno;
use crate::mem::{PageAlloc as _, PhysMem};
use crate::sparse::SparseMemory;

mod areas;

const RAM: Range<u64> = 0x10_0000..0x800_0000;
const SCRATCH: Range<u64> = 0x400_0000..0x480_0000;

fn scratch() -> ScratchAreas {
    ScratchAreas::new(vec![Area {
        addr: PhysAddr(SCRATCH.start),
        bytes: SCRATCH.end - SCRATCH.start,
    }])
}

fn memory() -> SparseMemory {
    let mut memory = SparseMemory::new(PageSize::Size4K, &[RAM]);
    memory.withhold(SCRATCH);
    memory
}

fn cold_with(config: Config) -> Kho<SparseMemory> {
    let (kho, boot) = Kho::start(memory(), scratch(), None, config).unwrap();
    assert_eq!(boot, Boot::Cold);
    kho
}

fn cold() -> Kho<SparseMemory> {
    cold_with(Config::default())
}

fn jump_with(kho: Kho<SparseMemory>, config: Config) -> (Kho<SparseMemory>, Boot) {
    let handoff = kho.handoff().unwrap();
    let mut memory = kho.into_memory();
    memory.forget_allocations();
    memory.withhold(SCRATCH);
    let (mut kho, boot) = Kho::start(memory, scratch(), Some(&handoff), config).unwrap();
    kho.memory_mut().clear_free();
    (kho, boot)
}

fn jump(kho: Kho<SparseMemory>) -> Kho<SparseMemory> {
    let (kho, boot) = jump_with(kho, Config::default());
    assert_eq!(boot, Boot::Handover);
    kho
}

fn content(kho: &Kho<SparseMemory>, addr: PhysAddr) -> u64 {
    kho.memory().read_value(addr).unwrap()
}

#[test]
fn a_blob_and_a_folio_arrive_and_what_was_not_preserved_does_not() {
    let mut kho = cold();
    let blob = kho.alloc_preserve(24).unwrap();
    let folio = kho.alloc_folio(Order(9)).unwrap();
    let lost = kho.alloc_folio(Order(0)).unwrap();
    let end = PhysAddr(folio.0 + (2 << 20) - 8);
    for (at, value) in [(blob, 1_u64), (folio, 2), (end, 3), (lost, 4)] {
        kho.memory_mut().write_value(at, &value).unwrap();
    }
    kho.preserve_folio(folio).unwrap();
    kho.add_subtree("test", blob, 24).unwrap();
    let mut kho = jump(kho);
    assert_eq!(kho.retrieve_subtree("test"), Ok((blob, 24)));
    let values = [blob, folio, end, lost].map(|at| content(&kho, at));
    assert_eq!(values, [1, 2, 3, 0]);
    assert_eq!(kho.restore_folio(folio), Ok(Order(9)));
    let unclaimed: Vec<_> = kho.unclaimed().collect();
    assert_eq!(unclaimed, [(blob, Order(0))]);
}

#[test]
fn a_folio_is_restored_once_and_from_its_start_only() {
    let mut kho = cold();
    let folio = kho.alloc_preserve(2 * 4096).unwrap();
    let mut kho = jump(kho);
    let middle = PhysAddr(folio.0 + 4096);
    for addr in [middle, PhysAddr(folio.0 + 8), PhysAddr(0)] {
        assert_eq!(
            kho.restore_folio(addr),
            Err(KhoError::NotPreserved { addr })
        );
    }
    assert_eq!(kho.restore_folio(folio), Ok(Order(1)));
    let again = Err(KhoError::NotPreserved { addr: folio });
    assert_eq!(kho.restore_folio(folio), again);
    kho.free_folio(folio);
}

#[test]
fn preserving_twice_is_taken_back_once() {
    let mut kho = cold();
    let keys = |kho: &Kho<SparseMemory>| kho.tree().walk(kho.memory()).count();
    let before = keys(&kho);
    let folio = kho.alloc_folio(Order(0)).unwrap();
    kho.preserve_folio(folio).unwrap();
    kho.preserve_folio(folio).unwrap();
    assert_eq!(keys(&kho), before + 1);
    kho.unpreserve_folio(folio).unwrap();
    assert_eq!(keys(&kho), before);
    kho.unpreserve_folio(folio).unwrap();
}

#[test]
fn sizes_of_own_memory_are_those_of_the_page_allocator() {
    let mut kho = cold();
    for (bytes, order) in [(1, 0), (4096, 0), (4097, 1), (3 * 4096, 2), (4 << 20, 10)] {
        let addr = kho.alloc_preserve(bytes).unwrap();
        assert_eq!(kho.folio_order(addr), Some(Order(order)), "{bytes}");
        kho.unpreserve_free(addr).unwrap();
    }
    assert_eq!(kho.alloc_preserve(0), Err(KhoError::Empty));
    let too_big = (4 << 20) + 1;
    let error = kho.alloc_preserve(too_big).unwrap_err();
    assert_eq!(
        error,
        KhoError::TooBig {
            size_bytes: too_big
        }
    );
    assert_eq!(error.errno(), errno::E2BIG);
}

fn blocks_of(kho: &Kho<SparseMemory>) -> Vec<(u64, u32)> {
    let keys = kho.tree().walk(kho.memory()).map(Result::unwrap);
    keys.map(|key| key.block(PageSize::Size4K))
        .map(|(addr, order)| (addr.0, order.0))
        .collect()
}

#[test]
fn runs_of_pages_are_cut_into_aligned_blocks() {
    let mut kho = cold();
    let before = blocks_of(&kho);
    kho.preserve_pages(PhysAddr(0x20_3000), 0x20d).unwrap();
    let mut new: Vec<_> = blocks_of(&kho);
    new.retain(|block| !before.contains(block));
    new.sort();
    let expected = [
        (0x20_3000, 0),
        (0x20_4000, 2),
        (0x20_8000, 3),
        (0x21_0000, 4),
        (0x22_0000, 5),
        (0x24_0000, 6),
        (0x28_0000, 7),
        (0x30_0000, 8),
        (0x40_0000, 4),
    ];
    assert_eq!(new, expected);
    kho.unpreserve_pages(PhysAddr(0x20_3000), 0x20d).unwrap();
    assert_eq!(blocks_of(&kho), before);
}

/// `kho_restore_pages()` of 7.3.4 looks for the block at the border of two nodes with the order
/// it has without the border.
#[test]
fn pages_over_two_nodes_are_restored_but_by_linux() {
    let config = |defects| Config {
        defects,
        node_starts: vec![PhysAddr(0x300_3000)],
        ..Config::default()
    };
    for (defects, works) in [
        (KhoDefects::default(), true),
        (KhoDefects::LINUX_7_3_4, false),
    ] {
        let mut kho = cold_with(config(defects));
        kho.preserve_pages(PhysAddr(0x300_0000), 16).unwrap();
        let (mut kho, boot) = jump_with(kho, config(defects));
        assert_eq!(boot, Boot::Handover);
        let restored = kho.restore_pages(PhysAddr(0x300_0000), 16);
        assert_eq!(restored.is_ok(), works, "{restored:?}");
    }
}

#[test]
fn nothing_in_scratch_is_preserved() {
    let mut kho = cold();
    let inside = PhysAddr(SCRATCH.start);
    let error = kho.preserve_pages(inside, 1).unwrap_err();
    assert!(matches!(error, KhoError::Scratch { addr, .. } if addr == inside));
    assert_eq!(error.errno(), errno::EINVAL);
    let before = PhysAddr(SCRATCH.start - 4096);
    assert!(kho.preserve_pages(before, 2).is_err());
    assert!(kho.preserve_pages(before, 1).is_ok());
}

/// `kho_scratch_overlap()` of 7.3.4 compares borders only.
#[test]
fn a_block_around_an_empty_area_is_refused_but_by_linux_only() {
    let empty = Area {
        addr: PhysAddr(0x300_1000),
        bytes: 0,
    };
    for (defects, works) in [
        (KhoDefects::default(), true),
        (KhoDefects::LINUX_7_3_4, false),
    ] {
        let config = Config {
            defects,
            ..Config::default()
        };
        let scratch = ScratchAreas::new(vec![empty]);
        let (mut kho, _) = Kho::start(memory(), scratch, None, config).unwrap();
        let preserved = kho.preserve_pages(PhysAddr(0x300_0000), 2);
        assert_eq!(preserved.is_ok(), works, "{preserved:?}");
    }
}

#[test]
fn a_handover_with_a_block_in_scratch_is_refused_by_name() {
    let mut kho = cold();
    let key = crate::Key::new(PhysAddr(SCRATCH.start), Order(3), PageSize::Size4K).unwrap();
    let tree = kho.tree();
    tree.add(kho.memory_mut(), key).unwrap();
    let (kho, boot) = jump_with(kho, Config::default());
    let addr = PhysAddr(SCRATCH.start);
    let order = Order(3);
    assert_eq!(boot, Boot::Refused(BootError::Scratch { addr, order }));
    assert_eq!((kho.incoming(), kho.unclaimed().count()), (None, 0));
}

#[test]
fn a_handover_with_blocks_that_overlap_is_refused_by_name() {
    let mut kho = cold();
    let tree = kho.tree();
    let (addr, other) = (PhysAddr(0x300_1000), PhysAddr(0x300_0000));
    for (addr, order) in [(other, Order(2)), (addr, Order(0))] {
        let key = crate::Key::new(addr, order, PageSize::Size4K).unwrap();
        tree.add(kho.memory_mut(), key).unwrap();
    }
    let (_, boot) = jump_with(kho, Config::default());
    assert_eq!(boot, Boot::Refused(BootError::Overlap { addr, other }));
}

#[test]
fn a_handover_with_a_block_outside_memory_is_refused_by_name() {
    let mut kho = cold();
    let key = crate::Key::new(PhysAddr(RAM.end), Order(0), PageSize::Size4K).unwrap();
    let tree = kho.tree();
    tree.add(kho.memory_mut(), key).unwrap();
    let (_, boot) = jump_with(kho, Config::default());
    assert!(
        matches!(&boot, Boot::Refused(BootError::Memory(out)) if out.addr.0 == RAM.end),
        "{boot:?}"
    );
}

#[test]
fn a_handover_that_is_none_is_a_cold_boot_with_a_reason() {
    let mut kho = cold();
    let fdt = kho.handoff().unwrap().fdt;
    kho.memory_mut().write(fdt, &[0; 4]).unwrap();
    let (kho, boot) = jump_with(kho, Config::default());
    assert!(matches!(
        boot,
        Boot::Refused(BootError::Root(RootFdtError::Fdt(_)))
    ));
    let missing = SubtreeError::Missing { name: "LUO".into() };
    assert_eq!(kho.retrieve_subtree("LUO"), Err(missing.into()));
}

#[test]
fn kho_v1_hands_over_what_was_finalized_and_refuses_changes_until_it_is_aborted() {
    let config = Config {
        lifecycle: Lifecycle::Finalize,
        ..Config::default()
    };
    let mut kho = cold_with(config.clone());
    let folio = kho.alloc_preserve(4096).unwrap();
    assert_eq!(kho.handoff(), None);
    assert_eq!(kho.abort().unwrap_err().errno(), errno::ENOENT);
    kho.finalize().unwrap();
    assert_eq!(kho.finalize().unwrap_err().errno(), errno::EEXIST);
    let busy = kho.unpreserve_folio(folio).unwrap_err();
    assert_eq!(busy.errno(), errno::EBUSY);
    assert_eq!(kho.unpreserve_free(folio).unwrap_err(), KhoError::Finalized);
    kho.abort().unwrap();
    kho.finalize().unwrap();
    let (mut kho, boot) = jump_with(kho, config);
    assert_eq!(boot, Boot::Handover, "what was preserved stays so");
    assert_eq!(kho.restore_folio(folio), Ok(Order(0)));
    let stateless = cold().finalize().unwrap_err();
    assert_eq!(stateless.errno(), errno::EOPNOTSUPP);
}

#[test]
fn an_address_inside_a_page_is_no_page() {
    let mut kho = cold();
    kho.preserve_pages(PhysAddr(0x300_0000), 4).unwrap();
    let mut kho = jump(kho);
    let addr = PhysAddr(0x300_0010);
    let error = KhoError::NotPreserved { addr };
    assert_eq!(kho.restore_pages(addr, 4), Err(error));
    assert_eq!(kho.restore_pages(PhysAddr(0x300_0000), 4), Ok(()));
}

#[test]
fn without_memory_the_first_page_says_so() {
    let mut memory = memory();
    memory.limit_allocations(Some(1));
    let started = Kho::start(memory, scratch(), None, Config::default());
    assert!(matches!(
        started,
        Err(KhoError::NoMemory { order: Order(0) })
    ));
    assert!(memory_is_needed_for_the_root());
}

fn memory_is_needed_for_the_root() -> bool {
    let mut memory = memory();
    memory.limit_allocations(Some(0));
    memory.alloc_page().is_none()
}

#[test]
fn each_kernel_tells_the_next_who_it_is_and_counts() {
    let mut kho = cold();
    assert_eq!(kho.received_metadata(), None);
    kho.announce_metadata("7.2.13").unwrap();
    let again = kho.announce_metadata("7.2.13").unwrap_err();
    assert_eq!(again.errno(), errno::EEXIST);
    let mut kho = jump(kho);
    let metadata = kho.received_metadata().unwrap();
    assert_eq!(
        (&*metadata.previous_release, metadata.kexec_count),
        ("7.2.13", 1)
    );
    let long = "x".repeat(100);
    kho.announce_metadata(&long).unwrap();
    let kho = jump(kho);
    let metadata = kho.received_metadata().unwrap();
    assert_eq!(
        (&*metadata.previous_release, metadata.kexec_count),
        (&long[..64], 2)
    );
}

#[test]
fn a_blob_outside_of_what_was_preserved_is_not_read() {
    let mut kho = cold();
    let blob = kho.alloc_preserve(4096).unwrap();
    let lost = kho.alloc_folio(Order(0)).unwrap();
    kho.add_subtree("whole", blob, 4096).unwrap();
    kho.add_subtree("longer", PhysAddr(blob.0 + 8), 4096)
        .unwrap();
    kho.add_subtree("lost", lost, 8).unwrap();
    kho.add_subtree("endless", blob, u64::MAX).unwrap();
    let mut kho = jump(kho);
    assert_eq!(kho.retrieve_subtree("whole"), Ok((blob, 4096)));
    for name in ["longer", "lost", "endless"] {
        let error = kho.retrieve_subtree(name).unwrap_err();
        assert!(matches!(
            error,
            KhoError::Subtree(SubtreeError::NotPreserved { .. })
        ));
    }
    kho.restore_free(blob).unwrap();
    assert!(kho.retrieve_subtree("whole").is_err());
}

#[test]
fn what_was_received_and_read_is_kept_by_linux_only() {
    for (defects, kept) in [(KhoDefects::default(), 0), (KhoDefects::LINUX_7_3_4, 2)] {
        let config = Config {
            defects,
            ..Config::default()
        };
        let mut kho = cold_with(config.clone());
        let free = kho.memory().free_bytes();
        kho.announce_metadata("7.3.4").unwrap();
        let (mut kho, _) = jump_with(kho, config);
        assert_eq!(kho.unclaimed().count(), kept, "{defects:?}");
        let used = u64::try_from(kept).unwrap() * 4096;
        assert_eq!(kho.memory().free_bytes() + used, free, "{defects:?}");
        // It is known none the less.
        assert_eq!(kho.received_metadata().unwrap().kexec_count, 1);
        assert_eq!(kho.incoming().unwrap().subtrees.len(), 1);
        kho.announce_metadata("7.3.4").unwrap();
    }
}

#[test]
fn regions_arrive_with_their_content() {
    let mut kho = cold();
    let start = kho.alloc_folio(Order(9)).unwrap();
    kho.memory_mut().write_value(start, &7_u64).unwrap();
    let region = crate::memblock::Region {
        label: "log".into(),
        start,
        bytes: 2 << 20,
    };
    kho.preserve_regions(core::slice::from_ref(&region))
        .unwrap();
    let kho = jump(kho);
    assert_eq!(kho.received_regions(), Ok(vec![region]));
    assert_eq!(content(&kho, start), 7);
    assert_eq!(cold().received_regions(), Ok(vec![]));
}

proptest! {
    /// Against a map of what should be there.
    #[test]
    fn what_is_preserved_arrives_and_nothing_else(
        steps in proptest::collection::vec((0..6_u8, 0..11_u32, any::<prop::sample::Index>()), 0..80)
    ) {
        let mut kho = cold();
        let mut blocks: BTreeMap<PhysAddr, (Order, bool)> = BTreeMap::new();
        for (step, order, which) in steps {
            let some = (!blocks.is_empty()).then(|| *which.get(&blocks.keys().copied().collect::<Vec<_>>()));
            match (step, some) {
                (0 | 1, _) => {
                    let addr = kho.alloc_folio(Order(order)).unwrap();
                    kho.memory_mut().write_value(addr, &!addr.0).unwrap();
                    blocks.insert(addr, (Order(order), false));
                }
                (2 | 3, Some(addr)) => {
                    kho.preserve_folio(addr).unwrap();
                    blocks.get_mut(&addr).unwrap().1 = true;
                }
                (4, Some(addr)) => {
                    kho.unpreserve_folio(addr).unwrap();
                    blocks.get_mut(&addr).unwrap().1 = false;
                }
                (_, Some(addr)) => {
                    kho.unpreserve_folio(addr).unwrap();
                    kho.free_folio(addr);
                    blocks.remove(&addr);
                }
                (_, None) => {}
            }
        }
        let mut kho = jump(kho);
        let kept = blocks.iter().filter(|(_, (_, kept))| *kept);
        let expected: BTreeMap<PhysAddr, Order> = kept.map(|(&at, &(order, _))| (at, order)).collect();
        let unclaimed: BTreeMap<PhysAddr, Order> = kho.unclaimed().collect();
        prop_assert_eq!(&unclaimed, &expected);
        for (addr, (order, kept)) in blocks {
            prop_assert_eq!(content(&kho, addr), if kept { !addr.0 } else { 0 });
            prop_assert_eq!(kho.restore_folio(addr).ok(), kept.then_some(order));
        }
    }
}
