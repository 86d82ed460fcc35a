//! Crash and shutdown logs of `kmod/pstore_kho`: what is said of them, not their text.

use alloc::vec;

use kho::{PhysAddr, PhysMem};
use kho_abi::pstore::{Header, PstoreSer, Slot};

use crate::event::Event;
use crate::examine::Reader;
use crate::problem::Problem;

/// Reads the header, whatever the blob claims to have behind it.
pub(crate) fn read<M: PhysMem>(reader: &mut Reader<'_, '_, M>, addr: PhysAddr, bytes: u64) {
    let blob_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut start = vec![0; blob_bytes.min(size_of::<PstoreSer>())];
    if let Err(error) = reader.mem.read(addr, &mut start) {
        return reader.unreadable("the crash and shutdown logs", error);
    }
    let header = match Header::parse(&start, blob_bytes) {
        Ok(header) => header,
        Err(error) => return reader.problem(Problem::Pstore(error)),
    };
    reader.tell(Event::Pstore {
        capacity_bytes: header.capacity(),
    });
    for slot in Slot::ALL {
        match header.record(slot) {
            Ok(None) => {}
            Ok(Some(record)) => reader.tell(Event::PstoreRecord(&record)),
            Err(error) => reader.problem(Problem::PstoreRecord { slot, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::io::Read as _;
    use std::slice;
    use std::string::String;
    use std::vec::Vec;

    use flate2::read::DeflateDecoder;
    use kho::{Area, Config, Kho, PageSize, PhysMemMut as _, ScratchAreas, SparseMemory};
    use kho_abi::pstore::{Blob, NODE_NAME, Reason, RecordSer};

    use super::*;
    use crate::examine;

    /// What Linux 7.3.4 found; see the README beside it.
    const RECORDED: &[u8] = include_bytes!("../testdata/pstore-kho/blob.bin");

    /// Hands a blob over that says it has `bytes`, and gives what is seen of it.
    fn seen(blob: &[u8], bytes: u64) -> (Vec<RecordSer>, Vec<String>) {
        let scratch = ScratchAreas::new(vec![Area {
            addr: PhysAddr(0x1000_0000),
            bytes: 1 << 24,
        }]);
        let ram = 0x3000_0000..0x3040_0000;
        let memory = SparseMemory::new(PageSize::Size4K, slice::from_ref(&ram));
        let (mut kho, _) = Kho::start(memory, scratch, None, Config::default()).unwrap();
        let addr = kho
            .alloc_preserve(blob.len().max(1).try_into().unwrap())
            .unwrap();
        kho.memory_mut().write(addr, blob).unwrap();
        kho.add_subtree(NODE_NAME, addr, bytes).unwrap();
        let fdt = kho.handoff().unwrap().fdt;
        let (mut records, mut problems) = (Vec::new(), Vec::new());
        examine(kho.memory(), fdt, None, &mut |event| match event {
            Event::PstoreRecord(record) => records.push(*record),
            Event::Problem(problem) => problems.push(format!("{problem}")),
            _ => {}
        });
        (records, problems)
    }

    fn recorded_bytes() -> u64 {
        RECORDED.len().try_into().unwrap()
    }

    #[test]
    fn a_record_of_linux_is_read_and_its_text_is_whole() {
        let (records, problems) = seen(RECORDED, recorded_bytes());
        assert_eq!(problems, [""; 0]);
        let [shutdown] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(Reason(shutdown.reason), Reason::SHUTDOWN);
        assert_eq!((shutdown.count, shutdown.part), (1, 1));
        let blob = Blob::parse(RECORDED).unwrap();
        let record = blob.record(Slot::Shutdown).unwrap().unwrap();
        assert!(record.is_compressed());
        let mut text = String::new();
        DeflateDecoder::new(record.text())
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.starts_with("Shutdown#1 Part1\n"), "{text}");
        assert!(text.trim_end().ends_with("Starting new kernel"), "{text}");
    }

    #[test]
    fn a_damaged_record_is_a_loss_and_a_blob_may_claim_anything() {
        let mut damaged = RECORDED.to_vec();
        // The reason of the shutdown's record.
        damaged[16 + 40 + 24] = 9;
        let (records, problems) = seen(&damaged, recorded_bytes());
        assert!(records.is_empty());
        assert_eq!(
            problems,
            ["the shutdown log: reason 9 does not belong there"]
        );
        let (_, problems) = seen(RECORDED, 50);
        assert!(problems[0].contains("it has 50 bytes, the header 96"));
        let (records, problems) = seen(RECORDED, u64::MAX);
        assert_eq!(records.len(), 1, "the header is right");
        assert!(problems[0].contains("its block"), "{problems:?}");
    }
}
