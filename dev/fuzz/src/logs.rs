//! Records of pstore, regions of ramoops, and what kernels tell of the one before.

use kho::Metadata;
use kho::memblock::Request;
use miniz_oxide::deflate::compress_to_vec;
use pstore::ramoops::{Ecc, Geometry, Parameters, SIGNATURE, ZoneState, records};
use pstore::{Contents, DumpHeader, Part, RecordName, inflate, join, lines};

/// What a record may unpack to here.
const LIMIT_BYTES: usize = 1 << 20;
/// Bytes of a zone of the region that is damaged.
const ZONE_BYTES: usize = 4096;
const NAME: &str = "dmesg-ramoops-0";
const LOG: &str = "<6>[    0.000000] Linux version 7.3.4\n<12>[    9.123456][  T42] luod: frozen\n";

/// A file name, a line end, and what is in the file.
pub(crate) fn record(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let file = parts.next().unwrap_or_default();
    let Ok(name) = RecordName::parse(&name) else {
        return;
    };
    assert_eq!(RecordName::parse(&name.to_string()).as_ref(), Ok(&name));
    let contents = Contents::read(&name, file, LIMIT_BYTES);
    assert!(contents.body.len() + contents.ecc_notice.len() <= LIMIT_BYTES.max(file.len()));
    let found = lines(&contents.body).map(|line| line.text.len());
    // A byte that is no text becomes one of three.
    assert!(found.sum::<usize>() <= contents.body.len() * 3);
    if let Some(header) = &contents.header {
        joined(header, file);
    }
}

/// Dumps that are alike but for what the bytes say: every record is in one, and in one only.
fn joined(header: &DumpHeader, bytes: &[u8]) {
    let headers = bytes.iter().take(32).map(|byte| DumpHeader {
        part: header.part.wrapping_add(u32::from(byte & 3)),
        ..header.clone()
    });
    let headers: Vec<_> = headers.collect();
    let parts = headers.iter().enumerate().map(|(index, header)| Part {
        backend: "erst",
        header,
        time_ns: bytes.get(index).map_or(0, |byte| i128::from(*byte) << 33),
        index,
    });
    let dumps = join(parts.collect());
    let mut all: Vec<_> = dumps.into_iter().flat_map(|dump| dump.parts).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..headers.len()));
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let text = format!("Shutdown#1 Part1\n{LOG}\nECC: No errors detected\n");
    let packed = compress_to_vec(text.as_bytes(), 6);
    vec![
        [NAME.as_bytes(), b"\n", text.as_bytes()].concat(),
        [b"dmesg-kho-0.enc.z\n", &*packed].concat(),
        [b"console-ramoops-0\n", LOG.as_bytes()].concat(),
    ]
}

/// Sizes of three kinds of zones in pages, then a region.
pub(crate) fn region(bytes: &[u8]) {
    let Some(([record, console, pmsg, ecc], image)) = bytes.split_first_chunk() else {
        return;
    };
    let pages = |count: u8| u64::from(count) << 12;
    let parameters = Parameters {
        mem_bytes: u64::try_from(image.len()).unwrap_or(0),
        record_bytes: pages(*record),
        console_bytes: pages(*console),
        ftrace_bytes: 0,
        pmsg_bytes: pages(*pmsg),
        ecc: Ecc::of_parameter(u64::from(*ecc)),
    };
    let Ok(geometry) = Geometry::of(&parameters, 1) else {
        return;
    };
    let mut offset = 0;
    for zone in &geometry.zones {
        assert_eq!(zone.offset, offset);
        assert!(zone.capacity_bytes < zone.bytes);
        offset += zone.bytes;
    }
    assert_eq!(offset + geometry.unused_bytes, parameters.mem_bytes);
    for read in records(image, &geometry) {
        if let ZoneState::Record(found) = read.state {
            assert!(found.bytes.len() as u64 <= read.zone.capacity_bytes);
            Contents::read(&found.name, &found.bytes, LIMIT_BYTES);
        }
    }
}

pub(crate) fn region_seeds() -> Vec<Vec<u8>> {
    let text = format!("Oops#1 Part1\n{LOG}");
    let packed = compress_to_vec(text.as_bytes(), 6);
    let dump = [b"====1700000000.000001-C\n", &*packed].concat();
    let zones = [&*dump, b"", LOG.as_bytes(), b"luod: frozen\n"].map(|data| {
        let mut zone = [SIGNATURE, 0, 0].map(u32::to_ne_bytes).concat();
        let size = u32::try_from(data.len()).unwrap_or(0).to_ne_bytes();
        zone.splice(4..12, [size, size].concat());
        zone.extend_from_slice(data);
        zone.resize(ZONE_BYTES, 0);
        zone
    });
    let image = zones.concat();
    [0, 1].map(|ecc| [&[1, 1, 1, ecc], &*image].concat()).into()
}

/// Raw deflate.
pub(crate) fn packed(bytes: &[u8]) {
    let (unpacked, error) = inflate(bytes, LIMIT_BYTES);
    assert!(unpacked.len() <= LIMIT_BYTES);
    let (short, _) = inflate(bytes, 100);
    assert!(short.len() <= 100 && unpacked.starts_with(&short));
    assert!(error.is_some() || !bytes.is_empty());
}

pub(crate) fn packed_seeds() -> Vec<Vec<u8>> {
    [LOG.repeat(50), "a".repeat(LIMIT_BYTES * 2), LOG.to_owned()]
        .map(|text| compress_to_vec(text.as_bytes(), 6))
        .into()
}

/// A blob, a line of the log, a value of `reserve_mem=`.
pub(crate) fn metadata(bytes: &[u8]) {
    if let Ok(found) = Metadata::read(bytes) {
        assert!(found.previous_release.len() <= 65 * 3);
    }
    let text = String::from_utf8_lossy(bytes);
    Metadata::of_log_line(&text);
    if let Some(request) = Request::parse(&text) {
        assert!(request.align_bytes.is_power_of_two() && request.bytes != 0);
    }
}

pub(crate) fn metadata_seeds() -> Vec<Vec<u8>> {
    let mut blob = vec![1, 0, 0, 0];
    blob.extend_from_slice(b"7.3.4");
    blob.resize(73, 0);
    let line = b"6,112,0,-;KHO: exec from: 7.2.13 (count 2)".to_vec();
    vec![blob, line, b"1344K:4096:oops".to_vec()]
}
