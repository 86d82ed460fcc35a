//! What is fuzzed.

use elf_index::Object;
use handover::{Consequence, Content, Event, examine};
use kho::{
    PageSize, PhysAddr, PhysMem as _, PhysMemMut as _, RadixTree, RootFdt, ScratchSize,
    SparseMemory,
};

use kho_abi::pstore::{Blob, PstoreSer, Slot};
use klp_abi::{KlpRelaSection, KlpSymbol};
use klp_checksum::{Program, Rule, Transcript};

use crate::receiver::{Received, receive};
use crate::recorded::{self, PAGES, ROOT};
use crate::{initramfs, livepatch, logs, sframe, sframe_walk, sockets, symbols};

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

/// Bytes a run may take whatever its input.
const BASE: usize = 4 << 20;
/// The largest dictionary that a stream of lzma or xz may ask for, and the largest window of zstd.
const DICTIONARY: usize = 256 << 20;

impl Target {
    /// Bytes that a run may take whatever its input.
    pub fn base_bytes(&self) -> usize {
        match self.name {
            "decompress" | "initramfs" => BASE + DICTIONARY,
            _ => BASE,
        }
    }
}

/// What a service says to the manager of its descriptor store: a name that is taken fits into `$LISTEN_FDNAMES`.
fn notify_message(bytes: &[u8]) {
    let message = fd_store::Message::parse(bytes);
    if let Some(fd_store::Action::Store(name) | fd_store::Action::Remove(name)) = message.action {
        assert!(name.len() <= 255 && !name.contains([':', '\n', '\0']));
    }
}

/// Everything that is fuzzed.
pub const TARGETS: &[Target] = &[
    Target {
        name: "root_fdt",
        parse: root_fdt,
        seeds: || vec![page_at(ROOT)],
    },
    Target {
        name: "notify_message",
        parse: notify_message,
        seeds: || {
            vec![
                b"FDSTORE=1\nFDNAME=a b/c\nFDPOLL=0\n".to_vec(),
                b"BARRIER=1".to_vec(),
            ]
        },
    },
    Target {
        name: "varlink",
        parse: sockets::varlink,
        seeds: sockets::varlink_seeds,
    },
    Target {
        name: "luo_agent",
        parse: sockets::luo_agent,
        seeds: sockets::luo_agent_seeds,
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
        name: "bzimage",
        parse: bzimage,
        seeds: bzimage_seeds,
    },
    Target {
        name: "initramfs",
        parse: initramfs::image,
        seeds: initramfs::image_seeds,
    },
    Target {
        name: "decompress",
        parse: initramfs::streams,
        seeds: initramfs::stream_seeds,
    },
    Target {
        name: "pstore_kho",
        parse: pstore_kho,
        seeds: || vec![recorded::PSTORE_KHO.to_vec()],
    },
    Target {
        name: "journal",
        parse: journal,
        seeds: journal_seeds,
    },
    Target {
        name: "kallsyms",
        parse: symbols::text,
        seeds: symbols::text_seeds,
    },
    Target {
        name: "symbol_elf",
        parse: symbols::elf,
        seeds: symbols::elf_seeds,
    },
    Target {
        name: "klp_names",
        parse: symbols::klp_names,
        seeds: symbols::klp_name_seeds,
    },
    Target {
        name: "sframe",
        parse: sframe::section,
        seeds: sframe::seeds,
    },
    Target {
        name: "sframe_rules",
        parse: sframe_walk::damaged_section,
        seeds: sframe_walk::section_seeds,
    },
    Target {
        name: "sframe_stack",
        parse: sframe_walk::damaged_stack,
        seeds: sframe_walk::stack_seeds,
    },
    Target {
        name: "elf_object",
        parse: elf_object,
        seeds: crate::elf_seeds::objects,
    },
    Target {
        name: "klp_diff",
        parse: livepatch::compared_objects,
        seeds: crate::elf_seeds::objects,
    },
    Target {
        name: "klp_link",
        parse: livepatch::linked,
        seeds: livepatch::linked_seeds,
    },
    Target {
        name: "klp_abi_names",
        parse: klp_names,
        seeds: || {
            [".klp.sym.vmlinux.foo,0", ".klp.rela.fuse..text"]
                .map(|seed| seed.into())
                .into()
        },
    },
    Target {
        name: "pstore_record",
        parse: logs::record,
        seeds: logs::record_seeds,
    },
    Target {
        name: "pstore_region",
        parse: logs::region,
        seeds: logs::region_seeds,
    },
    Target {
        name: "pstore_inflate",
        parse: logs::packed,
        seeds: logs::packed_seeds,
    },
    Target {
        name: "kexec_metadata",
        parse: logs::metadata,
        seeds: logs::metadata_seeds,
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

/// Gives bytes to the target of a name; one that does not exist takes nothing.
pub fn parse(name: &str, bytes: &[u8]) {
    if let Some(target) = TARGETS.iter().find(|target| target.name == name) {
        (target.parse)(bytes);
    }
}

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
/// engines, with every block, session and file.
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
        // Handlers and versions nobody knows are odd for a reader, and refused by a receiver.
        if worst.is_none() {
            let received = receive(memory, totals.preserved.blocks());
            let all = Received::Files(totals.files);
            assert!(
                received == all || received == Received::NoMemory,
                "verified, and not received: {received:?}"
            );
        }
    }
}

/// Crash and shutdown logs: what is found is in the blob, has the length it says, and lies behind the header.
fn pstore_kho(bytes: &[u8]) {
    let Ok(blob) = Blob::parse(bytes) else {
        return;
    };
    let areas = Slot::COUNT * blob.capacity();
    assert!(size_of::<PstoreSer>() + areas <= bytes.len());
    for slot in Slot::ALL {
        let Ok(Some(record)) = blob.record(slot) else {
            continue;
        };
        let text = record.text();
        assert_eq!(usize::try_from(record.ser().size), Ok(text.len()));
        assert_eq!(record.reason().slot(), Some(slot));
        let start = slot.offset(blob.capacity()).unwrap_or(usize::MAX);
        let area = bytes.get(start..start + text.len());
        assert_eq!(area, Some(text));
    }
}

/// The start of a kernel image: its setup header, and what is derived from it.
fn bzimage(bytes: &[u8]) {
    if let Ok(image) = kimage::BzImage::parse(bytes) {
        assert!(image.payload().len() <= bytes.len());
        assert!(
            image
                .release()
                .is_none_or(|release| release.len() <= bytes.len())
        );
        let _sizes = (image.alignment(), image.needed_bytes());
    }
}

/// A header as in Linux 7.3, without a kernel behind it.
fn bzimage_seeds() -> Vec<Vec<u8>> {
    let mut image = vec![0; 0x8000];
    let mut put = |at: usize, bytes: &[u8]| {
        for (place, byte) in image.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    };
    put(0x1f1, &[27]);
    put(0x1f4, &0x400_u32.to_le_bytes());
    put(0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    put(0x202, b"HdrS\x0f\x02");
    put(0x20e, &0x3000_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x214, &0x10_0000_u32.to_le_bytes());
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x230, &0x20_0000_u32.to_le_bytes());
    put(0x234, &[1, 21]);
    put(0x236, &0x7f_u16.to_le_bytes());
    put(0x238, &2047_u32.to_le_bytes());
    put(0x248, &0x100_u32.to_le_bytes());
    put(0x24c, &0x200_u32.to_le_bytes());
    put(0x258, &0x100_0000_u64.to_le_bytes());
    put(0x260, &0x200_0000_u32.to_le_bytes());
    put(0x3200, b"7.3.4 (somebody) #1\0");
    vec![image]
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

/// An object is indexed, every symbol and relocation is looked at, and every checksum is computed by both rules.
fn elf_object(bytes: &[u8]) {
    let Ok(object) = Object::parse(bytes) else {
        return;
    };
    for (id, section) in object.sections_with_ids() {
        assert!(section.data.len() <= bytes.len());
        let relocs = object.relocs(id);
        assert!(relocs.iter().is_sorted_by_key(|reloc| reloc.offset));
        assert!(
            relocs
                .iter()
                .all(|reloc| object.symbol(reloc.symbol).is_some())
        );
        for symbol in object
            .symbols_in(id)
            .iter()
            .filter_map(|id| object.symbol(*id))
        {
            let found = object.symbol_containing(id, symbol.value);
            assert!(found.is_some() || symbol.end() == symbol.value);
        }
    }
    let Ok(program) = Program::new(&object) else {
        return;
    };
    let mut transcript = Transcript::with_steps();
    for subject in program.subjects() {
        for rule in [Rule::Objtool, Rule::Content] {
            let _outside = program.transcribe(*subject, rule, &mut transcript);
        }
    }
}

/// What is read is written as it was.
fn klp_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = KlpSymbol::parse(&text) {
        assert_eq!(KlpSymbol::parse(&name.to_string()), Ok(name));
    }
    if let Ok(name) = KlpRelaSection::parse(&text) {
        assert_eq!(name.to_string(), text);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Damage to what is refused at once finds nothing.
    #[test]
    fn seeds_are_good() {
        assert!(RootFdt::read(&page_at(ROOT)).is_ok());
        let image = recorded::image(&PAGES).unwrap();
        let totals = examine(&image, ROOT, None, &mut |_| {});
        assert_eq!((totals.problems, totals.files), (0, 6));
        let memory = recorded::memory(&image).unwrap();
        let received = receive(memory, totals.preserved.blocks());
        assert_eq!(received, Received::Files(6));
        for image in bzimage_seeds() {
            kimage::BzImage::parse(&image).unwrap();
        }
        let logs = Blob::parse(recorded::PSTORE_KHO).unwrap();
        assert!(logs.record(Slot::Shutdown).unwrap().is_some());
        for journal in journal_seeds() {
            update::journal::decode(&journal).unwrap();
        }
        assert_eq!(tree_seeds().len(), 1);
        for object in crate::elf_seeds::objects() {
            let object = Object::parse(&object).unwrap();
            assert!(Program::new(&object).unwrap().subjects().len() >= 2);
        }
    }

    /// A new target must be there for cargo-fuzz as well.
    #[test]
    fn cargo_fuzz_has_every_target() {
        let manifest = include_str!("../cargo-fuzz/Cargo.toml");
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{}\"", target.name)));
        }
    }

    #[test]
    fn every_target_takes_its_seeds_and_nothing() {
        for target in TARGETS {
            (target.parse)(&[]);
            for seed in (target.seeds)() {
                (target.parse)(&seed);
            }
        }
    }
}
