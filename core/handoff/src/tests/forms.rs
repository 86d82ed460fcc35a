//! The two forms of a boot against its segments, and the handover that goes into them.

use core::ops::Range;

use kho::{Config, Kho, Order, PageSize, PhysMemMut as _, SparseMemory};
use proptest::prelude::*;

use super::*;

/// What the engine may compose in.
const RAM: Range<u64> = 0x3000_0000..0x3800_0000;

/// Memory after the segments of a system call were put into it.
fn kexec_memory(segments: &[KexecSegment<'_>]) -> BTreeMap<u64, u8> {
    let mut memory = BTreeMap::new();
    for segment in segments {
        put(&mut memory, segment.addr.0, &segment.bytes);
    }
    memory
}

fn without(prepared: &Prepared<'_>, role: Option<Role>) -> BTreeMap<u64, u8> {
    let mut prepared = prepared.clone();
    prepared.segments.retain(|one| Some(one.role) != role);
    memory(&prepared)
}

#[test]
fn kexec_segments_close_the_smallest_gaps_until_there_are_16() {
    let mut case = Case::new();
    // 40 pages with gaps of one page, and three far away.
    let near = (1..40).map(|index| PAGES.0 + index * 0x2000);
    let far = [0x2000_0000, 0x2800_0000, 0x3800_0000];
    case.pages
        .extend(near.chain(far).map(|addr| (addr, vec![5; 4096], 4096)));
    let prepared = case.prepare().unwrap();
    let segments = prepared.kexec_segments().unwrap();
    assert_eq!(segments.len(), KEXEC_SEGMENT_MAX);
    assert_eq!(
        kexec_memory(&segments),
        without(&prepared, Some(Role::Trampoline))
    );
    let is_whole = |one: &KexecSegment<'_>| (one.addr.0 | one.len_bytes) & 0xfff == 0;
    assert!(segments.iter().all(is_whole));
    let lonely = |addr| {
        segments
            .iter()
            .any(|one| one.addr.0 == addr && one.len_bytes == 4096)
    };
    assert!(far.into_iter().all(lonely), "a large gap was filled");
}

#[test]
fn more_than_half_of_the_memory_is_too_much_for_kexec() {
    let mut case = Case::new();
    case.pages.push((0x1400_0000, vec![], 448 * MIB));
    assert!(case.prepare().unwrap().kexec_segments().is_ok());
    case.pages.push((0x3010_0000, vec![], 64 * MIB));
    let prepared = case.prepare().unwrap();
    let error = prepared.kexec_segments().unwrap_err();
    let KexecError::TooLarge { max_bytes, .. } = error;
    assert_eq!(max_bytes, case.map.ram_bytes() / 2);
}

#[test]
fn an_elf_file_loads_to_the_same_memory() {
    let mut case = Case::new();
    case.map = MemoryMap::qemu_q35(6 << 30).unwrap();
    case.scratch = areas(&[(0x1000_0000, 256 * MIB)]);
    case.pages.push((0x1_4000_0000, vec![3; 4096], 8192));
    let prepared = case.prepare().unwrap();
    let elf = prepared.elf().unwrap();
    let mut file = vec![0; usize::try_from(elf.len_bytes()).unwrap()];
    let mut end = 0;
    for (offset, bytes) in elf.pieces() {
        assert!(offset >= end, "pieces go back");
        end = offset + bytes.len() as u64;
        let offset = usize::try_from(offset).unwrap();
        file[offset..offset + bytes.len()].copy_from_slice(&bytes);
    }
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let index = |at: usize| usize::try_from(word(at)).unwrap();
    assert_eq!(file[..6], *b"\x7fELF\x02\x01");
    let count = usize::from(u16::from_le_bytes(file[56..58].try_into().unwrap()));
    let mut loaded = BTreeMap::new();
    for header in (0..count).map(|number| 64 + number * 56) {
        let (offset, addr) = (index(header + 8), word(header + 24));
        let (file_bytes, memory_bytes) = (index(header + 32), index(header + 40));
        let content = &file[offset..offset + file_bytes];
        if file[header] == 4 {
            assert_eq!(content[..16], *b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0");
            assert_eq!(content[16..], file[24..32], "the note has another entry");
            assert_eq!(word(header + 48), 4, "QEMU wants the alignment of the note");
            continue;
        }
        assert!(file_bytes <= memory_bytes);
        assert_eq!(offset % 4096, 0);
        put(&mut loaded, addr, content);
    }
    assert_eq!(loaded, without(&prepared, None));
    assert_eq!(loaded.get(&word(24)), Some(&0xfa), "no code at the entry");
}

/// What the engine composed comes out, and nothing that it did not preserve.
#[test]
fn a_handover_is_collected_with_its_zeros_and_without_its_neighbours() {
    let scratch = areas(&[(0x1000_0000, 64 * MIB)]);
    let mut memory = SparseMemory::new(PageSize::Size4K, core::slice::from_ref(&RAM));
    memory.withhold(0x1000_0000..0x1400_0000);
    let config = Config::default();
    let (mut kho, _) = Kho::start(memory, scratch.clone(), None, config).unwrap();
    let written = kho.alloc_folio(Order(2)).unwrap();
    kho.preserve_folio(written).unwrap();
    let third = PhysAddr(written.0 + 0x2000);
    kho.memory_mut().write(third, b"third page").unwrap();
    let alone = kho.alloc_folio(Order(0)).unwrap();
    kho.memory_mut().write(alone, b"not preserved").unwrap();
    let handoff = kho.handoff().unwrap();
    let memory = kho.into_memory();
    let found = Handover::collect(&memory, handoff.fdt, &scratch).unwrap();
    let in_block = |one: &&Content<'_>| one.addr >= written && one.addr.0 < written.0 + 0x4000;
    let block: Vec<_> = found.content.iter().filter(in_block).collect();
    let bytes: u64 = block.iter().map(|one| one.len_bytes).sum();
    assert_eq!(bytes, 0x4000);
    let with = block.iter().find(|one| one.addr == third).unwrap();
    assert!(with.bytes.starts_with(b"third page"));
    assert!(found.content.iter().all(|one| one.addr != alone));
    assert!(found.content.iter().any(|one| one.addr == handoff.fdt));
    // What was collected is complete: the same comes out of it, the tree's nodes included.
    let mut again = SparseMemory::new(PageSize::Size4K, core::slice::from_ref(&RAM));
    for one in &found.content {
        again.write(one.addr, one.bytes).unwrap();
    }
    let again = Handover::collect(&again, handoff.fdt, &scratch).unwrap();
    let list = |handover: &Handover<'_>| {
        let parts = handover.content.iter();
        let parts = parts.map(|one| (one.addr, one.bytes.to_vec(), one.len_bytes));
        parts.collect::<Vec<_>>()
    };
    assert_eq!(list(&again), list(&found));
    let nothing = Handover::collect(&memory, PhysAddr(0x2000), &scratch);
    assert!(matches!(nothing, Err(CollectError::Memory(_))));
    let no_fdt = Handover::collect(&memory, alone, &scratch);
    assert!(matches!(no_fdt, Err(CollectError::Root(_))));
}

proptest! {
    /// Whatever is asked for is answered; what is accepted keeps its promises.
    #[test]
    fn accepted_boots_have_every_part_apart(
        scratch in proptest::collection::vec((0_u64..1 << 31, 0_u64..1 << 26), 0..4),
        pages in proptest::collection::vec((0x2fff_0000_u64..0x3100_0000, 1_u64..9), 0..20),
        initrd in 0_usize..1 << 16,
    ) {
        let mut case = Case::new();
        let extra = scratch.iter().map(|&(addr, bytes)| (addr & !0xfff, bytes & !0xfff));
        let mut list = vec![(0x1000_0000, 64 * MIB)];
        list.extend(extra);
        case.scratch = areas(&list);
        case.initrd = vec![1; initrd];
        let page = |&(addr, count): &(u64, u64)| (addr & !0xfff, vec![1], count * 4096);
        case.pages.extend(pages.iter().map(page));
        if let Ok(prepared) = case.prepare() {
            let span = |one: &Segment<'_>| (one.addr.0, one.addr.0 + one.len_bytes);
            let mut spans: Vec<_> = prepared.segments().iter().map(span).collect();
            spans.sort_unstable();
            prop_assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            prop_assert!(prepared.elf().is_ok());
            if let Ok(segments) = prepared.kexec_segments() {
                prop_assert!(segments.len() <= KEXEC_SEGMENT_MAX);
            }
        }
    }
}
