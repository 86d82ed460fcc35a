//! What is wrong in a memfd, in lists and folios that our engine of KHO has preserved.

use kho::{Order, PageSize};
use kho_abi::luo::FileSetSer;
use kho_abi::memfd::{COMPATIBLE, FolioFlags, FolioSer, MemfdSer, Seals};
use zerocopy::IntoBytes as _;

use super::luo_cases::{files, luo, sessions};
use super::{Case, Outcome, Rig};

/// Bytes of a page, and of a folio here.
const PAGE: u64 = 4096;

/// One line each.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "memfd_with_nothing_wrong",
        change_fn: |rig| memfd(rig, |_, _| {}),
        outcome: Outcome::Retrieved("composed 7 size 8192 position 0 seals 0x0"),
    },
    Case {
        name: "memfd_with_an_unknown_seal",
        change_fn: |rig| memfd(rig, |ser, _| ser.seals = Seals(0x40)),
        outcome: Outcome::Retrieved("Operation not supported (os error 95)"),
    },
    Case {
        name: "memfd_with_a_folio_that_is_not_preserved",
        change_fn: |rig| memfd(rig, |_, folios| folios[1].word += 0x100),
        outcome: Outcome::Retrieved("Input/output error (os error 5)"),
    },
    Case {
        name: "memfd_with_a_folio_twice",
        change_fn: |rig| memfd(rig, |_, folios| folios[1].word = folios[0].word),
        outcome: Outcome::Retrieved("Input/output error (os error 5)"),
    },
    Case {
        name: "memfd_with_two_folios_for_one_place",
        change_fn: |rig| memfd(rig, |_, folios| folios[1].index = 0),
        outcome: Outcome::Retrieved("File exists (os error 17)"),
    },
    Case {
        name: "memfd_smaller_than_its_folios",
        change_fn: |rig| memfd(rig, |ser, _| ser.size = 1),
        outcome: Outcome::Retrieved("composed 7 size 1 position 0 seals 0x0"),
    },
    Case {
        name: "memfd_larger_than_its_folios",
        change_fn: |rig| memfd(rig, |ser, _| ser.size = 3 * PAGE),
        outcome: Outcome::Retrieved("composed 7 size 12288 position 0 seals 0x0"),
    },
    Case {
        name: "memfd_at_a_negative_position",
        change_fn: |rig| memfd(rig, |ser, _| ser.pos = u64::MAX),
        outcome: Outcome::Retrieved("composed 7 size 8192 position 0 seals 0x0"),
    },
    Case {
        name: "memfd_with_a_list_of_no_pages",
        change_fn: |rig| memfd(rig, |ser, _| ser.folios.total_pages = 0),
        outcome: Outcome::Retrieved("Invalid argument (os error 22)"),
    },
];

/// A session with a memfd of two folios, changed before it is written.
fn memfd(
    rig: &mut Rig,
    change_fn: impl FnOnce(&mut MemfdSer, &mut [FolioSer; 2]),
) -> anyhow::Result<()> {
    let kho = &mut rig.composed.kho;
    let mut folios = [FolioSer { word: 0, index: 0 }; 2];
    let flags = FolioFlags(FolioFlags::DIRTY.0 | FolioFlags::UPTODATE.0);
    for (index, folio) in (0..).zip(&mut folios) {
        let addr = kho.alloc_folio(Order(0))?;
        kho.preserve_folio(addr)?;
        let entry = FolioSer::new(addr.pfn(PageSize::Size4K).0, flags, index);
        *folio = entry.unwrap_or(*folio);
    }
    let list = kho.vzalloc(size_of_val(&folios) as u64)?;
    let mut ser = MemfdSer {
        pos: 0,
        size: 2 * PAGE,
        seals: Seals(0),
        flags: 0,
        nr_folios: 2,
        folios: kho.preserve_vmalloc(&list)?,
    };
    change_fn(&mut ser, &mut folios);
    list.write(kho.memory_mut(), 0, folios.as_bytes())?;
    let data = rig.page(ser.as_bytes())?;
    let files = files(rig, COMPATIBLE, data.0)?;
    let block = sessions(rig, FileSetSer { files, count: 1 })?;
    luo(rig, b"luo-v5\0\0", block.0)
}
