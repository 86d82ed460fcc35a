//! Whole boots: which pointers lead where, and what is refused with which figures.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use kho::{Area, PhysAddr, ScratchAreas};
use kimage::BzImage;

use crate::*;

const MIB: u64 = 1 << 20;
/// A page of the handover that somebody wrote to.
const PAGES: PhysAddr = PhysAddr(0x3000_0000);

/// A kernel of 8 KiB that unpacks itself to 4 MiB.
fn kernel() -> Vec<u8> {
    let mut file = vec![0xcc; 2 * 512 + 8192];
    file[..1024].fill(0);
    let mut put = |offset: usize, bytes: &[u8]| {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(0x1f1, &[1]);
    put(
        0x1fe,
        &[0x55, 0xaa, 0xeb, 106, b'H', b'd', b'r', b'S', 0x0f, 2],
    );
    put(0x211, &[1]);
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x230, &0x20_0000_u32.to_le_bytes());
    put(0x234, &[1, 0, 3, 0]);
    put(0x238, &255_u32.to_le_bytes());
    put(0x260, &(4_u32 << 20).to_le_bytes());
    file
}

fn areas(areas: &[(u64, u64)]) -> ScratchAreas {
    let area = |&(addr, bytes): &(u64, u64)| Area {
        addr: PhysAddr(addr),
        bytes,
    };
    ScratchAreas::new(areas.iter().map(area).collect())
}

/// 1 GiB with 64 MiB of scratch and one page of handover, the FDT.
struct Case {
    kernel: Vec<u8>,
    initrd: Vec<u8>,
    command_line: &'static str,
    map: MemoryMap,
    scratch: ScratchAreas,
    pages: Vec<(u64, Vec<u8>, u64)>,
}

impl Case {
    fn new() -> Self {
        Self {
            kernel: kernel(),
            initrd: vec![7; 5000],
            command_line: "console=ttyS0",
            map: MemoryMap::qemu_q35(1 << 30).unwrap(),
            scratch: areas(&[(0x1000_0000, 64 * MIB), (0x1800_0000, 0)]),
            pages: vec![(PAGES.0, vec![9; 100], 4096)],
        }
    }

    fn content(&self) -> Vec<Content<'_>> {
        let pages = self.pages.iter();
        pages
            .map(|(addr, bytes, len_bytes)| Content {
                addr: PhysAddr(*addr),
                bytes,
                len_bytes: *len_bytes,
            })
            .collect()
    }

    fn prepare(&self) -> Result<Prepared<'_>, Error> {
        let boot = Boot {
            kernel: BzImage::parse(&self.kernel).unwrap(),
            initrd: &self.initrd,
            command_line: self.command_line,
            memory_map: &self.map,
            rsdp: Some(PhysAddr(0xf_5a20)),
            handover: Handover {
                fdt: PAGES,
                scratch: &self.scratch,
                content: self.content(),
            },
        };
        boot.prepare()
    }

    fn with_pages(pages: &[(u64, u64)]) -> Result<(), Error> {
        let mut case = Self::new();
        case.pages
            .extend(pages.iter().map(|&(addr, bytes)| (addr, vec![], bytes)));
        case.prepare().map(|_| ())
    }
}

/// Memory after the segments were put into it, without zeros.
fn memory(prepared: &Prepared<'_>) -> BTreeMap<u64, u8> {
    let mut memory = BTreeMap::new();
    for segment in prepared.segments() {
        put(&mut memory, segment.addr.0, &segment.bytes);
    }
    memory
}

fn put(memory: &mut BTreeMap<u64, u8>, addr: u64, bytes: &[u8]) {
    let bytes = (addr..).zip(bytes.iter().copied());
    memory.extend(bytes.filter(|&(_, byte)| byte != 0));
}

fn read<const N: usize>(memory: &BTreeMap<u64, u8>, addr: u64) -> [u8; N] {
    core::array::from_fn(|index| memory.get(&(addr + index as u64)).copied().unwrap_or(0))
}

fn word(memory: &BTreeMap<u64, u8>, addr: u64) -> u64 {
    u64::from_le_bytes(read(memory, addr))
}

fn half(memory: &BTreeMap<u64, u8>, addr: u64) -> u64 {
    u32::from_le_bytes(read(memory, addr)).into()
}

#[test]
fn every_pointer_leads_to_what_it_names() {
    let case = Case::new();
    let prepared = case.prepare().unwrap();
    let memory = memory(&prepared);
    let stub = prepared.entry().0;
    assert_eq!(read(&memory, stub + 2), [0x48, 0xbe]);
    let params = word(&memory, stub + 4);
    let entry = word(&memory, stub + 14);
    assert_eq!(entry & 0x1f_ffff, 0x200, "not aligned as the kernel asks");
    assert_eq!(read(&memory, entry), [0xcc; 64]);
    // The header went over, and the loader's fields in it.
    assert_eq!(&read(&memory, params + 0x202), b"HdrS");
    assert_eq!(read(&memory, params + 0x210), [0xff, 1]);
    assert_eq!(read(&memory, params), [0; 0x70]);
    assert_eq!(word(&memory, params + 0x70), 0xf_5a20);
    let line = half(&memory, params + 0x228);
    assert_eq!(&read(&memory, line), b"console=ttyS0\0");
    let initrd = half(&memory, params + 0x218);
    assert_eq!(half(&memory, params + 0x21c), 5000);
    assert_eq!(read(&memory, initrd), [7; 5000]);
    assert_eq!(memory.get(&(params + 0x1e8)), Some(&5));
    assert_eq!(word(&memory, params + 0x2d0 + 3 * 20), MIB);
    // setup_data and behind it, in the same page, the scratch array.
    let node = word(&memory, params + 0x250);
    assert_eq!(node & 0xfff, 0);
    assert_eq!(word(&memory, node), 0);
    assert_eq!(word(&memory, node + 8), 10 | 32 << 32);
    assert_eq!(word(&memory, node + 16), PAGES.0);
    assert_eq!(word(&memory, node + 24), 4096);
    assert_eq!(word(&memory, node + 32), node + 48);
    assert_eq!(word(&memory, node + 40), 32);
    let array: Vec<_> = (0..4)
        .map(|index| word(&memory, node + 48 + index * 8))
        .collect();
    assert_eq!(array, [0x1000_0000, 64 * MIB, 0x1800_0000, 0]);
    assert_eq!(
        rsdp(&read::<4096>(&memory, params)),
        Some(PhysAddr(0xf_5a20))
    );
}

#[test]
fn everything_but_the_handover_lies_in_scratch_and_apart() {
    let case = Case::new();
    let prepared = case.prepare().unwrap();
    let mut spans = Vec::new();
    for segment in prepared.segments() {
        let (start, end) = (segment.addr.0, segment.addr.0 + segment.len_bytes);
        let inside = case.scratch.overlap(segment.addr, segment.len_bytes);
        assert_eq!(inside, segment.role != Role::Handover, "{}", segment.role);
        spans.push((start, end));
    }
    spans.sort_unstable();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    let kernel = prepared
        .segments()
        .iter()
        .find(|one| one.role == Role::Kernel);
    assert_eq!(kernel.unwrap().len_bytes, 4 * MIB);
}

#[test]
fn without_an_initrd_none_is_named() {
    let mut case = Case::new();
    case.initrd.clear();
    let prepared = case.prepare().unwrap();
    let memory = memory(&prepared);
    let params = word(&memory, prepared.entry().0 + 4);
    assert_eq!(word(&memory, params + 0x218), 0);
    assert!(
        prepared
            .segments()
            .iter()
            .all(|one| one.role != Role::Initrd)
    );
}

#[test]
fn scratch_that_early_boot_would_exhaust_is_refused_with_the_sum() {
    let mut case = Case::new();
    case.scratch = areas(&[(0x1000_0000, 20 * MIB)]);
    let Err(Error::Scratch(error)) = case.prepare() else {
        panic!("accepted");
    };
    let ScratchError::TooSmall {
        found_bytes,
        needed_bytes,
        inside_bytes,
        page_structs_bytes,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(found_bytes, 20 * MIB);
    assert_eq!(page_structs_bytes, case.map.ram_bytes() / 64);
    assert_eq!(needed_bytes, inside_bytes + page_structs_bytes + 8 * MIB);
    case.scratch = areas(&[(0x1000_0000, (needed_bytes + 4095) & !4095)]);
    assert!(case.prepare().is_ok(), "the sum is not enough");
}

#[test]
fn scratch_in_small_pieces_has_no_room_for_the_kernel() {
    let mut case = Case::new();
    let piece = |index: u64| (0x1000_0000 + index * 4 * MIB, 3 * MIB);
    case.scratch = areas(&(0..20).map(piece).collect::<Vec<_>>());
    assert!(matches!(
        case.prepare(),
        Err(Error::Scratch(ScratchError::NoRoom {
            role: Role::Kernel,
            ..
        }))
    ));
    // Each byte of the initrd must be within the kernel's reach.
    case.scratch = areas(&[(0x1000_0000, 64 * MIB)]);
    case.kernel[0x236] = 1;
    case.kernel[0x22c..0x230].copy_from_slice(&0x1000_ffff_u32.to_le_bytes());
    case.initrd = vec![0; 0x1_0001];
    assert!(matches!(
        case.prepare(),
        Err(Error::Scratch(ScratchError::NoRoom {
            role: Role::Initrd,
            ..
        }))
    ));
}

#[test]
fn scratch_must_be_memory_and_disjoint() {
    let mut case = Case::new();
    case.scratch = areas(&[(0x3ff0_0000, MIB), (0x1000_0000, 64 * MIB)]);
    let addr = PhysAddr(0x3ff0_0000);
    assert_eq!(
        case.prepare().unwrap_err(),
        ScratchError::OutsideRam { addr, bytes: MIB }.into()
    );
    case.scratch = areas(&[(0x1000_0000, 64 * MIB), (0x13ff_f000, MIB)]);
    assert!(matches!(
        case.prepare(),
        Err(Error::Scratch(ScratchError::Overlap { .. }))
    ));
    case.scratch = areas(&vec![(0x1000_0000, 0); 254]);
    assert_eq!(
        case.prepare().unwrap_err(),
        ScratchError::TooMany {
            found: 254,
            max: 253
        }
        .into()
    );
}

#[test]
fn a_handover_that_linux_would_overwrite_is_refused() {
    let addr = |addr| PhysAddr(addr);
    let (scratch, bytes) = (0x1000_0000, 4096);
    let refused = |pages: &[(u64, u64)]| Case::with_pages(pages).unwrap_err();
    assert_eq!(
        refused(&[(scratch + 0x1000, bytes)]),
        HandoverError::InScratch {
            addr: addr(scratch + 0x1000),
            bytes,
            area: addr(scratch)
        }
        .into()
    );
    // An area of no size is no area, wherever it lies.
    assert!(Case::with_pages(&[(0x1800_0000 - 0x1000, 2 * bytes)]).is_ok());
    // The last page before scratch is fine; one that reaches into it is not.
    assert!(Case::with_pages(&[(scratch - 0x1000, bytes)]).is_ok());
    assert!(matches!(
        refused(&[(scratch - 0x1000, 2 * bytes)]),
        Error::Handover(HandoverError::InScratch { .. })
    ));
    assert!(matches!(
        refused(&[(0x8_0000, bytes)]),
        Error::Handover(HandoverError::FirstMib { .. })
    ));
    assert!(matches!(
        refused(&[(0x4000_0000, bytes)]),
        Error::Handover(HandoverError::OutsideRam { .. })
    ));
    assert!(matches!(
        refused(&[(!0xfff, 2 * bytes)]),
        Error::Handover(HandoverError::OutsideRam { .. })
    ));
    assert_eq!(
        refused(&[(PAGES.0 - 0x1000, 2 * bytes)]),
        HandoverError::Overlap {
            addr: addr(PAGES.0 - 0x1000),
            other: PAGES
        }
        .into()
    );
    assert!(matches!(
        refused(&[(0x3100_0800, bytes)]),
        Error::Handover(HandoverError::Misaligned { .. })
    ));
}

#[test]
fn a_handover_without_its_fdt_is_refused() {
    let mut case = Case::new();
    case.pages[0].0 += 0x1000;
    assert_eq!(
        case.prepare().unwrap_err(),
        HandoverError::NoFdt { fdt: PAGES }.into()
    );
    case.pages[0].1 = vec![0; 4097];
    assert!(matches!(
        case.prepare(),
        Err(Error::Handover(HandoverError::Overfull {
            content_bytes: 4097,
            ..
        }))
    ));
}

#[test]
fn kernels_that_cannot_be_started_this_way_are_refused() {
    let refused = |offset: usize, byte: u8| {
        let mut case = Case::new();
        case.kernel[offset] = byte;
        match case.prepare() {
            Err(Error::Kernel(error)) => error,
            other => panic!("{:?}", other.map(|_| ())),
        }
    };
    assert!(matches!(
        refused(0x236, 2),
        KernelError::No64BitEntry { .. }
    ));
    assert!(matches!(refused(0x211, 0), KernelError::LoadedLow { .. }));
    assert!(matches!(
        refused(0x234, 0),
        KernelError::NotRelocatable { .. }
    ));
    assert_eq!(
        refused(0x238, 12),
        KernelError::CommandLineTooLong {
            found_bytes: 13,
            max_bytes: 12
        }
    );
    let mut case = Case::new();
    case.command_line = "a\0b";
    assert_eq!(
        case.prepare().unwrap_err(),
        KernelError::CommandLineNul { offset: 1 }.into()
    );
}

mod forms;
