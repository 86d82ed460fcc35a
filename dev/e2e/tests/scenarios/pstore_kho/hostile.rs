//! A handover that no Linux wrote, with records in it, and everything that can be wrong with them. The module is loaded
//! once for each, in one guest: what came in is never given back.

use std::fs;
use std::mem::offset_of;
use std::ops::Range;

use anyhow::{Context as _, ensure};
use e2e::{COMMAND_LINE, Series, artifacts};
use handoff::Handover;
use kho::{PageSize, PhysAddr, PhysMemMut as _};
use kho_abi::pstore::{NODE_NAME, PstoreSer, Reason, RecordSer, Slot, VERSION, capacity_of};
use kimage::BzImage;
use zerocopy::IntoBytes as _;

use super::{CRASH, Guest, PATIENCE, SHUTDOWN, console, image, is_quiet, wait_said};
use crate::composed::{Composed, MEMORY_MIB, Start, machine, memory_map, write_elf};
use crate::harness::Lab;

const BLOB_BYTES: usize = 0x2000;
const CRASH_TEXT: &str = "Oops#1 Part1\n<1>nobody crashed\n";
const SHUTDOWN_TEXT: &str = "Shutdown#2 Part1\n<6>nobody ended\n";
/// What the module says of memory that it does not touch.
const NO_BLOB: &str = "cannot be a handed over blob";

/// A word of the handover, the value that is wrong, what is said, and what is shown all the same.
type Case = (Place, u64, &'static str, &'static [&'static str]);

/// Where a wrong value is written.
#[derive(Clone, Copy)]
enum Place {
    /// A word of 32 bits of the blob.
    Word(usize),
    /// A word of 64 bits of the blob.
    Long(usize),
    /// Where the blob is, by the root FDT.
    Address,
    /// How long it is, by the root FDT.
    Size,
}

const fn of_record(slot: Slot, field: usize) -> usize {
    offset_of!(PstoreSer, records) + slot.index() * size_of::<RecordSer>() + field
}

const CASES: [Case; 19] = [
    (Place::Word(0), 2, "it is of version 2, known is 1", &[]),
    (Place::Word(4), 3, "it has 3 records, not 2", &[]),
    (Place::Long(8), 0, "its records may have 0 bytes", &[]),
    (
        Place::Long(8),
        4056,
        "its records may have 4056 bytes, there are 4048",
        &[],
    ),
    (
        Place::Long(8),
        u64::MAX,
        "its records may have 18446744073709551615 bytes",
        &[],
    ),
    (
        Place::Long(of_record(Slot::Crash, 0)),
        4049,
        "Crash record: refused: it has 4049 bytes, its area 4048",
        &[SHUTDOWN],
    ),
    (
        Place::Long(of_record(Slot::Shutdown, 0)),
        u64::MAX,
        "Shutdown record: refused: it has 18446744073709551615 bytes",
        &[CRASH],
    ),
    (
        Place::Word(of_record(Slot::Crash, offset_of!(RecordSer, reason))),
        4,
        "Crash record: refused: reason 4",
        &[SHUTDOWN],
    ),
    (
        Place::Word(of_record(Slot::Shutdown, offset_of!(RecordSer, reason))),
        5,
        "Shutdown record: refused: reason 5",
        &[CRASH],
    ),
    (
        Place::Word(of_record(Slot::Crash, offset_of!(RecordSer, time_nsec))),
        1_000_000_000,
        "its second has 1000000000 nanoseconds",
        &[SHUTDOWN],
    ),
    (
        Place::Word(of_record(Slot::Shutdown, offset_of!(RecordSer, compressed))),
        2,
        "its mark of compression is 2",
        &[CRASH],
    ),
    (
        Place::Word(of_record(Slot::Crash, offset_of!(RecordSer, reserved))),
        1,
        "its reserved word is 0x1, not 0",
        &[SHUTDOWN],
    ),
    (Place::Size, 0, NO_BLOB, &[]),
    (Place::Size, 3, "it has 3 bytes, the header 96", &[]),
    (Place::Size, 95, "it has 95 bytes, the header 96", &[]),
    (
        Place::Size,
        4096,
        "its records may have 4048 bytes, there are 2000",
        &[],
    ),
    (Place::Size, 1 << 62, NO_BLOB, &[]),
    (Place::Address, 1 << 45, NO_BLOB, &[]),
    (Place::Address, !0xfff, NO_BLOB, &[]),
];

/// Boots a kernel with such a handover and goes through the cases.
pub(super) fn run(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let (kernel, _) = artifacts::pstore_kho(series)?;
    let mut composed = Composed::new()?;
    let blob = composed.kho.alloc_preserve(BLOB_BYTES as u64)?;
    composed.kho.memory_mut().write(blob, &good_blob())?;
    composed
        .kho
        .add_subtree(NODE_NAME, blob, BLOB_BYTES as u64)?;
    let fdt = composed.fdt()?;
    let root = composed.kho.outgoing().to_bytes(PageSize::Size4K)?;
    let scratch = composed.scratch.clone();
    let memory = composed.kho.into_memory();
    let (bzimage, image) = (fs::read(&kernel.image)?, image()?);
    let image = fs::read(lab.write_image(image)?)?;
    let start = Start {
        kernel: &bzimage,
        image: &image,
        command_line: COMMAND_LINE,
        map: &memory_map(MEMORY_MIB)?,
        handover: Handover::collect(&memory, fdt, &scratch)?,
    };
    ensure!(BzImage::parse(&bzimage)?.release().is_some(), "no release");
    let elf = lab.folder().join("start.elf");
    write_elf(&start.prepare()?, &elf)?;
    let guest = Guest::of(machine(lab, &kernel, elf.clone()).boot(PATIENCE)?)?;
    let place = Places { blob, fdt, root };

    guest.load(&[])?;
    ensure!(guest.text(CRASH)? == CRASH_TEXT, "another crash");
    ensure!(guest.text(SHUTDOWN)? == SHUTDOWN_TEXT, "another end");
    guest.unload()?;
    for (number, case) in CASES.into_iter().enumerate() {
        try_case(lab, &guest, &place, case)
            .with_context(|| format!("case {number}: {}", case.2))?;
    }
    guest.load(&[])?;
    ensure!(
        guest.text(CRASH)? == CRASH_TEXT,
        "nothing is wrong any more"
    );
    is_quiet(lab)?;
    guest.machine.poweroff()?;
    Ok(fs::remove_file(elf)?)
}

/// Where things are in the guest's memory.
struct Places {
    blob: PhysAddr,
    fdt: PhysAddr,
    root: Vec<u8>,
}

impl Places {
    /// The address of a value, what it is when all is well, and how long it is.
    fn find(&self, place: Place) -> anyhow::Result<(u64, Vec<u8>)> {
        let good = good_blob();
        let of_blob = |range: Range<usize>| -> anyhow::Result<(u64, Vec<u8>)> {
            let at = self.blob.0 + range.start as u64;
            Ok((at, good.get(range).context("not in the blob")?.to_vec()))
        };
        match place {
            Place::Word(at) => of_blob(at..at + 4),
            Place::Long(at) => of_blob(at..at + 8),
            Place::Address => self.in_fdt(self.blob.0),
            Place::Size => self.in_fdt(BLOB_BYTES as u64),
        }
    }

    /// The one place of the FDT with this value.
    fn in_fdt(&self, value: u64) -> anyhow::Result<(u64, Vec<u8>)> {
        let bytes = value.to_ne_bytes();
        let mut places = self.root.windows(8).enumerate();
        let mut places = places.by_ref().filter(|(_, window)| *window == bytes);
        let (at, _) = places.next().context("not in the FDT")?;
        ensure!(places.next().is_none(), "twice in the FDT");
        Ok((self.fdt.0 + at as u64, bytes.to_vec()))
    }
}

fn try_case(lab: &Lab, guest: &Guest, places: &Places, case: Case) -> anyhow::Result<()> {
    let (place, wrong, words, shown) = case;
    let (at, good) = places.find(place)?;
    let wrong = &wrong.to_ne_bytes()[..good.len()];
    let before = console(lab)?.len();
    guest.poke("/dev/mem", at, wrong)?.success()?;
    guest.load(&[])?;
    wait_said(lab, before, words)?;
    for file in [CRASH, SHUTDOWN] {
        let expected = shown.contains(&file);
        ensure!(guest.has(file) == expected, "{file}: not {expected}");
    }
    guest.unload()?;
    guest.poke("/dev/mem", at, &good)?.success()?;
    Ok(())
}

/// Both records, as the module would write them.
fn good_blob() -> Vec<u8> {
    let record = |reason: Reason, count, text: &str| RecordSer {
        size: text.len() as u64,
        time_sec: 1_700_000_000,
        time_nsec: 7,
        count,
        reason: reason.0,
        part: 1,
        compressed: 0,
        reserved: 0,
    };
    let capacity = capacity_of(BLOB_BYTES);
    let header = PstoreSer {
        version: VERSION,
        slots: 2,
        capacity: capacity as u64,
        records: [
            record(Reason::OOPS, 1, CRASH_TEXT),
            record(Reason::SHUTDOWN, 2, SHUTDOWN_TEXT),
        ],
    };
    let mut blob = header.as_bytes().to_vec();
    blob.extend_from_slice(CRASH_TEXT.as_bytes());
    blob.resize(size_of::<PstoreSer>() + capacity, 0);
    blob.extend_from_slice(SHUTDOWN_TEXT.as_bytes());
    blob
}
