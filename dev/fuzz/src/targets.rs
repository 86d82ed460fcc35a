//! What is fuzzed.

use handover::{Consequence, Content, Event, examine};
use kho::{
    Boot, Config, Handoff, Kho, PageSize, PhysAddr, PhysMem as _, PhysMemMut as _, RadixTree,
    RootFdt, ScratchAreas, ScratchSize, SparseMemory,
};

use crate::recorded::{self, PAGES, ROOT};

/// Something that parses.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes any bytes.
    pub parse: fn(&[u8]),
    /// Good input.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Everything that is fuzzed.
pub const TARGETS: &[Target] = &[
    Target {
        name: "root_fdt",
        parse: root_fdt,
        seeds: || vec![page_at(ROOT)],
    },
    Target {
        name: "handover",
        parse: whole_handover,
        seeds: || vec![PAGES.clone()],
    },
    Target {
        name: "radix_tree",
        parse: radix_tree,
        seeds: tree_seeds,
    },
    Target {
        name: "journal",
        parse: journal,
        seeds: journal_seeds,
    },
    Target {
        name: "scratch_size",
        parse: scratch_size,
        seeds: || {
            ["200%", "256M,1G,0", "0x10k,010,8"]
                .map(|seed| seed.into())
                .into()
        },
    },
];

fn page_at(addr: PhysAddr) -> Vec<u8> {
    let image = recorded::image(&PAGES);
    image
        .and_then(|image| image.read_page(addr).ok())
        .unwrap_or_default()
}

/// What is read is written so that it is read again.
fn root_fdt(bytes: &[u8]) {
    let Ok(root) = RootFdt::read(bytes) else {
        return;
    };
    if let Ok(written) = root.to_bytes(PageSize::Size64K) {
        assert_eq!(RootFdt::read(&written), Ok(root));
    }
}

/// A handover is examined and its contents are read; what nothing is wrong with is received by the
/// engine, with every block.
fn whole_handover(bytes: &[u8]) {
    let Some(image) = recorded::image(bytes) else {
        return;
    };
    let mut headers = Vec::new();
    let mut worst = None;
    let totals = examine(&image, ROOT, None, &mut |event| match event {
        Event::File(file) => headers.extend(file.memfd.as_ref().map(|memfd| memfd.header)),
        Event::Problem(problem) => worst = worst.max(Some(problem.consequence())),
        _ => {}
    });
    let Ok(root) = RootFdt::read(&image.read_page(ROOT).unwrap_or_default()) else {
        assert!(
            worst >= Some(Consequence::ColdBoot),
            "no root and no word of it"
        );
        return;
    };
    let tree = RadixTree::at(root.memory_map);
    let is_good = worst.is_none_or(|worst| worst <= Consequence::Odd);
    for header in headers {
        let content = Content::read(&image, tree, header);
        assert!(
            content.is_ok() || !is_good,
            "verified, and cannot be read: {content:?}"
        );
    }
    if let Some(memory) = recorded::memory(&image).filter(|_| is_good) {
        receive(memory, totals.preserved.blocks());
    }
}

fn receive(memory: SparseMemory, blocks: u64) {
    let handoff = Handoff {
        fdt: ROOT,
        scratch: Vec::new(),
    };
    // Memory of the recorded machine is known here, and not to `examine`.
    let started = Kho::start(
        memory,
        ScratchAreas::default(),
        Some(&handoff),
        Config::default(),
    );
    if let Ok((kho, boot)) = started {
        let is_outside = matches!(&boot, Boot::Refused(kho::BootError::Memory(_)));
        assert!(
            boot == Boot::Handover || is_outside,
            "verified, and refused: {boot:?}"
        );
        if boot == Boot::Handover {
            let received = kho.unclaimed().count();
            assert_eq!(u64::try_from(received), Ok(blocks));
        }
    }
}

/// Four pages that lead to each other.
fn radix_tree(bytes: &[u8]) {
    let ram = 0x1000..0x5000;
    let mut memory = SparseMemory::new(PageSize::Size4K, std::slice::from_ref(&ram));
    for (page, addr) in bytes.chunks(4096).zip((0x1000..0x5000).step_by(4096)) {
        let _short = memory.write(PhysAddr(addr), page);
    }
    let tree = RadixTree::at(PhysAddr(0x1000));
    let mut last = None;
    for key in tree.walk(&memory) {
        let Ok(key) = key else {
            return;
        };
        assert!(Some(key.word()) > last, "keys that do not ascend");
        last = Some(key.word());
        assert_eq!(tree.contains(&memory, key), Ok(true));
    }
}

/// Pages in each of which most entries are nothing, and some lead to one of the four.
fn tree_seeds() -> Vec<Vec<u8>> {
    let mut pages = vec![0; 4 * 4096];
    for (at, to) in [
        (2 * 8, 0x2000_u64),
        (4096, 0x3000),
        (2 * 4096, 0x4000),
        (3 * 4096, 0x2000),
    ] {
        for (place, byte) in pages.iter_mut().skip(at).zip(to.to_le_bytes()) {
            *place = byte;
        }
    }
    vec![pages]
}

/// What is read is written so that it is read again.
fn journal(bytes: &[u8]) {
    if let Ok(journal) = update::journal::decode(bytes) {
        let written = update::journal::encode(&journal);
        let again = written
            .ok()
            .and_then(|written| update::journal::decode(&written).ok());
        assert_eq!(again, Some(journal));
    }
}

fn journal_seeds() -> Vec<Vec<u8>> {
    let journal = update::Journal::default();
    update::journal::encode(&journal).into_iter().collect()
}

fn scratch_size(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(size) = ScratchSize::parse(&text) {
        let reserved = kho::KernelReserved {
            low_bytes: u64::MAX,
            all_bytes: u64::MAX,
            node_bytes: vec![u64::MAX],
        };
        let _areas = size.areas(&reserved, PageSize::Size4K);
    }
}
