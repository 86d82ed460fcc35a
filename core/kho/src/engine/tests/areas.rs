//! Areas of vmalloc: what arrives, what is refused.

use std::{format, vec, vec::Vec};

use kho_abi::kexec_handover::{Vmalloc, VmallocFlags};

use super::super::*;
use super::{blocks_of, cold, jump};
use crate::errno;
use crate::vmalloc;

#[test]
fn areas_of_single_and_of_huge_pages_arrive() {
    for pages in [1_u64, 510, 511, 512, 1022, 1100] {
        let mut kho = cold();
        let free = kho.memory().free_bytes();
        let area = kho.vzalloc(pages * 4096).unwrap();
        let mark = |page: u64| format!("{page:06}");
        for page in 0..pages {
            let bytes = mark(page);
            area.write(kho.memory_mut(), page * 4096 + 4090, bytes.as_bytes())
                .unwrap();
        }
        let descriptor = kho.preserve_vmalloc(&area).unwrap();
        // One chunk more than needed when the last one is full.
        let chunks = vmalloc::chunks(kho.memory(), &descriptor);
        let chunks: Vec<_> = chunks.map(Result::unwrap).collect();
        assert_eq!(chunks.len() as u64, pages / 511 + 1, "{pages}");
        let mut kho = jump(kho);
        let restored = kho.restore_vmalloc(&descriptor).unwrap();
        assert_eq!(restored, area);
        let mut bytes = [0; 6];
        for page in 0..pages {
            restored
                .read(kho.memory(), page * 4096 + 4090, &mut bytes)
                .unwrap();
            assert_eq!(&bytes, mark(page).as_bytes());
        }
        kho.vfree(&restored);
        assert_eq!(kho.memory().free_bytes(), free, "{pages}");
    }
    let mut kho = cold();
    let huge = vmalloc::Area {
        blocks: vec![kho.alloc_folio(Order(9)).unwrap()],
        order: Order(9),
        flags: VmallocFlags::ALLOC,
    };
    let descriptor = kho.preserve_vmalloc(&huge).unwrap();
    assert_eq!((descriptor.total_pages, descriptor.order), (512, 9));
    let mut kho = jump(kho);
    assert_eq!(kho.restore_vmalloc(&descriptor), Ok(huge));
}

#[test]
fn an_area_without_memory_for_its_chunks_leaves_nothing_preserved() {
    for left in 0..8 {
        let mut kho = cold();
        let area = kho.vzalloc(600 * 4096).unwrap();
        let before = blocks_of(&kho);
        kho.memory_mut().limit_allocations(Some(left));
        let Err(error) = kho.preserve_vmalloc(&area) else {
            assert!(left >= 2, "two chunks need two pages");
            continue;
        };
        assert_eq!(error.errno(), errno::ENOMEM);
        assert_eq!(blocks_of(&kho), before);
    }
}

#[test]
fn descriptors_that_do_not_fit_their_chunks_are_refused_and_restore_nothing() {
    let mut kho = cold();
    let area = kho.vzalloc(3 * 4096).unwrap();
    let good = kho.preserve_vmalloc(&area).unwrap();
    let mut kho = jump(kho);
    let before = kho.unclaimed().count();
    let wrong = |change: &dyn Fn(&mut Vmalloc)| {
        let mut descriptor = good;
        change(&mut descriptor);
        descriptor
    };
    for descriptor in [
        wrong(&|area| area.total_pages = 2),
        wrong(&|area| area.total_pages = 4),
        wrong(&|area| area.order = 1),
        wrong(&|area| area.order = 63),
        wrong(&|area| area.order = 64),
        wrong(&|area| area.first = u64::MAX),
        wrong(&|area| area.first = 0),
    ] {
        assert!(kho.restore_vmalloc(&descriptor).is_err(), "{descriptor:?}");
        assert_eq!(kho.unclaimed().count(), before, "{descriptor:?}");
    }
    assert_eq!(kho.restore_vmalloc(&good), Ok(area));
}
