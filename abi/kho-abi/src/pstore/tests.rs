//! Blobs made here, right and wrong in every field. One that a guest wrote is read in the tests of
//! the crate `handover`.

extern crate std;

use std::vec::Vec;

use zerocopy::IntoBytes as _;

use super::*;

const CAPACITY: usize = 32;
const CRASH_TEXT: &[u8] = b"Oops#1 Part1";
const SHUTDOWN_TEXT: &[u8] = b"Shutdown#2 Part1\nlast words\n....";

fn record(reason: Reason, text: &[u8]) -> RecordSer {
    RecordSer {
        size: text.len() as u64,
        time_sec: 1_700_000_000,
        time_nsec: 999_999_999,
        count: 1,
        reason: reason.0,
        part: 1,
        compressed: 0,
        reserved: 0,
    }
}

/// A blob with both records, after a change to its header.
fn blob(change_fn: impl FnOnce(&mut PstoreSer)) -> Vec<u8> {
    assert!(SHUTDOWN_TEXT.len() >= CAPACITY);
    let shutdown = &SHUTDOWN_TEXT[..CAPACITY];
    let mut header = PstoreSer {
        version: VERSION,
        slots: 2,
        capacity: CAPACITY as u64,
        records: [
            record(Reason::OOPS, CRASH_TEXT),
            record(Reason::SHUTDOWN, shutdown),
        ],
    };
    change_fn(&mut header);
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(CRASH_TEXT);
    bytes.resize(96 + CAPACITY, 0xaa);
    bytes.extend_from_slice(shutdown);
    bytes
}

/// What is said of a record after a change to it.
fn refused(slot: Slot, change_fn: impl FnOnce(&mut RecordSer)) -> RecordError {
    let bytes = blob(|header| change_fn(&mut header.records[slot.index()]));
    let blob = Blob::parse(&bytes).unwrap();
    let [other] = Slot::ALL
        .into_iter()
        .filter(|other| *other != slot)
        .collect::<Vec<_>>()[..]
    else {
        panic!("there are two slots");
    };
    assert!(
        blob.record(other).unwrap().is_some(),
        "a bad record hides the other"
    );
    blob.record(slot).unwrap_err()
}

#[test]
fn both_records_are_found_in_their_areas() {
    let bytes = blob(|_| {});
    let blob = Blob::parse(&bytes).unwrap();
    assert_eq!(blob.capacity(), CAPACITY);
    let crash = blob.record(Slot::Crash).unwrap().unwrap();
    assert_eq!((crash.reason(), crash.text()), (Reason::OOPS, CRASH_TEXT));
    let shutdown = blob.record(Slot::Shutdown).unwrap().unwrap();
    assert_eq!(shutdown.text(), &SHUTDOWN_TEXT[..CAPACITY]);
    assert_eq!(shutdown.ser().time_sec, 1_700_000_000);
    assert!(!shutdown.is_compressed());
}

#[test]
fn a_slot_without_size_has_no_record_whatever_else_it_says() {
    let bytes = blob(|header| {
        header.records[0] = RecordSer {
            size: 0,
            reason: 99,
            ..header.records[0]
        };
    });
    let blob = Blob::parse(&bytes).unwrap();
    assert_eq!(blob.record(Slot::Crash), Ok(None));
    assert!(blob.record(Slot::Shutdown).unwrap().is_some());
}

#[test]
fn the_version_is_looked_at_before_anything_else() {
    let newer = blob(|header| {
        header.version = 2;
        header.slots = 77;
    });
    for bytes in [&newer[..], &newer[..4]] {
        let error = Blob::parse(bytes).unwrap_err();
        assert_eq!(error, BlobError::Version { found: 2 });
    }
}

#[test]
fn a_blob_cut_anywhere_is_refused_or_has_all_it_says() {
    let bytes = blob(|_| {});
    for length in 0..bytes.len() {
        let error = Blob::parse(&bytes[..length]).unwrap_err();
        if length < 96 {
            assert_eq!(error, BlobError::Short { found: length });
        } else {
            let found = CAPACITY as u64;
            let available = (length - 96) / 2;
            assert_eq!(error, BlobError::Capacity { found, available });
        }
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0; 4000]);
    assert!(Blob::parse(&longer).is_ok());
}

#[test]
fn a_header_that_claims_too_much_is_refused() {
    for capacity in [0, 33, u64::MAX, u64::MAX / 2 + 1] {
        let bytes = blob(|header| header.capacity = capacity);
        let error = Blob::parse(&bytes).unwrap_err();
        let available = CAPACITY;
        let expected = BlobError::Capacity {
            found: capacity,
            available,
        };
        assert_eq!(error, expected);
    }
    let error = Blob::parse(&blob(|header| header.slots = 3)).unwrap_err();
    assert_eq!(error, BlobError::Slots { found: 3 });
}

#[test]
fn every_field_of_a_record_is_checked() {
    for slot in Slot::ALL {
        for size in [33, u64::MAX] {
            let error = refused(slot, |record| record.size = size);
            let expected = RecordError::Size {
                found: size,
                capacity: CAPACITY,
            };
            assert_eq!(error, expected);
        }
        let error = refused(slot, |record| record.time_nsec = 1_000_000_000);
        assert_eq!(
            error,
            RecordError::Time {
                found: 1_000_000_000
            }
        );
        let error = refused(slot, |record| record.compressed = 2);
        assert_eq!(error, RecordError::Compressed { found: 2 });
        let error = refused(slot, |record| record.reserved = 0x80);
        assert_eq!(error, RecordError::Reserved { found: 0x80 });
    }
}

#[test]
fn a_record_is_where_its_reason_belongs() {
    let wrong = [
        (Slot::Crash, [0, 4, 5, u32::MAX]),
        (Slot::Shutdown, [0, 2, 5, u32::MAX]),
    ];
    for (slot, reasons) in wrong {
        for found in reasons {
            let error = refused(slot, |record| record.reason = found);
            assert_eq!(error, RecordError::Reason { found });
        }
    }
}

#[test]
fn areas_are_aligned_and_in_the_blob() {
    for blob_bytes in [112, 113, 4096, 4097, 0x20000] {
        let capacity = capacity_of(blob_bytes);
        assert_eq!(capacity % 8, 0);
        assert!(capacity > 0);
        let end = Slot::Shutdown.offset(capacity).unwrap() + capacity;
        assert!(end <= blob_bytes && blob_bytes - end < 16, "{blob_bytes}");
    }
    assert_eq!(capacity_of(0), 0);
    assert_eq!(capacity_of(111), 0);
    assert_eq!(Slot::Shutdown.offset(usize::MAX), None);
}

#[test]
fn what_is_wrong_is_said_with_its_value() {
    let error = Blob::parse(&[0; 3]).unwrap_err();
    assert_eq!(
        std::format!("{error}"),
        "it has 3 bytes, the header 96",
        "read after \"refused:\""
    );
    let error = refused(Slot::Crash, |record| record.size = 1 << 40);
    assert_eq!(
        std::format!("{error}"),
        "it has 1099511627776 bytes, its area 32"
    );
}
