//! Records in the bytes of a region, where no driver shows them: a dump of the machine's memory, or a kernel without
//! ramoops.
//!
//! A zone of a dump begins with `====SECONDS.MICROSECONDS-C` and a line end, `C` for deflate and `D` for plain.
//!
//! Source: `ramoops_read_kmsg_hdr()`, `ramoops_write_kmsg_hdr()` (`fs/pstore/ram.c`), v7.3.

use alloc::borrow::ToOwned as _;
use alloc::vec::Vec;

use super::geometry::{Geometry, Zone, ZoneKind};
use super::zone::{ZoneError, ring};
use crate::name::{RecordKind, RecordName};

/// What stands before the time.
const KMSG_HEADER: &[u8] = b"====";
/// Bytes of the longest header: 64-bit seconds, microseconds, and the letter.
const MAX_HEADER_BYTES: usize = 48;
/// The backend that the records are of.
const BACKEND: &str = "ramoops";

/// A record, as the driver would show it in `/sys/fs/pstore`; only that what is packed stays so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionRecord {
    /// Its name.
    pub name: RecordName,
    /// When it was written, in nanoseconds since 1970; none but for dumps.
    pub time_ns: Option<i128>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What is in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneState {
    /// A record.
    Record(RegionRecord),
    /// Nothing was written since it was last read.
    Empty,
    /// A dump without the line it begins with: the driver would discard it.
    NoHeader,
    /// Nothing that the driver would take.
    Invalid(ZoneError),
}

/// A zone that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRead {
    /// The zone.
    pub zone: Zone,
    /// What is in it.
    pub state: ZoneState,
}

/// Looks at every zone of a region.
pub fn records(image: &[u8], geometry: &Geometry) -> Vec<ZoneRead> {
    let read = |zone: &Zone| ZoneRead {
        zone: *zone,
        state: state(image, zone),
    };
    geometry.zones.iter().map(read).collect()
}

fn state(image: &[u8], zone: &Zone) -> ZoneState {
    let data = match ring(image, zone) {
        Ok(data) => data,
        Err(error) => return ZoneState::Invalid(error),
    };
    if data.is_empty() {
        return ZoneState::Empty;
    }
    let kind = match zone.kind {
        ZoneKind::Dmesg => return dump(&data, zone),
        ZoneKind::Console => RecordKind::Console,
        ZoneKind::Pmsg => RecordKind::Pmsg,
        ZoneKind::Ftrace => RecordKind::Ftrace,
    };
    ZoneState::Record(RegionRecord {
        name: name(kind, zone),
        time_ns: None,
        bytes: data,
    })
}

fn dump(data: &[u8], zone: &Zone) -> ZoneState {
    let Some((time_ns, is_packed, bytes)) = header(data) else {
        return ZoneState::NoHeader;
    };
    ZoneState::Record(RegionRecord {
        name: RecordName {
            is_packed,
            ..name(RecordKind::Dmesg, zone)
        },
        time_ns: Some(time_ns),
        bytes: bytes.to_vec(),
    })
}

fn name(kind: RecordKind, zone: &Zone) -> RecordName {
    RecordName {
        kind,
        backend: BACKEND.to_owned(),
        id: zone.index,
        is_packed: false,
    }
}

/// Time, whether what follows is packed, and what follows.
fn header(data: &[u8]) -> Option<(i128, bool, &[u8])> {
    let rest = data.strip_prefix(KMSG_HEADER)?;
    let near = rest.iter().take(MAX_HEADER_BYTES);
    let end = near.into_iter().position(|byte| *byte == b'\n')?;
    let line = core::str::from_utf8(rest.get(..end)?).ok()?;
    let (time, letter) = line.rsplit_once('-')?;
    let is_packed = match letter {
        "C" => true,
        "D" => false,
        _ => return None,
    };
    let (seconds, micros) = time.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let micros: u32 = micros.parse().ok()?;
    let nanos = i128::from(seconds).checked_mul(1_000_000_000)?;
    let nanos = nanos.checked_add(i128::from(micros).checked_mul(1000)?)?;
    Some((nanos, is_packed, rest.get(end.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::geometry::Parameters;
    use super::*;

    fn geometry() -> Geometry {
        let parameters = Parameters {
            mem_bytes: 4 * 4096,
            record_bytes: 4096,
            console_bytes: 4096,
            pmsg_bytes: 4096,
            ..Parameters::default()
        };
        Geometry::of(&parameters, 1).unwrap()
    }

    fn put(image: &mut [u8], offset: usize, start: u32, data: &[u8]) {
        let size = u32::try_from(data.len()).unwrap();
        let words = [super::super::SIGNATURE, start, size];
        let bytes = words.map(u32::to_ne_bytes).concat();
        image[offset..offset + 12].copy_from_slice(&bytes);
        image[offset + 12..offset + 12 + data.len()].copy_from_slice(data);
    }

    #[test]
    fn dumps_and_rings_are_read() {
        let mut image = vec![0; 4 * 4096];
        let dump = b"====1700000000.000042-C\npacked";
        put(&mut image, 0, u32::try_from(dump.len()).unwrap(), dump);
        put(&mut image, 4096, 4, b"====");
        put(&mut image, 2 * 4096, 3, b"newold ");
        put(&mut image, 3 * 4096, 0, b"");
        let zones = records(&image, &geometry());
        let ZoneState::Record(record) = &zones[0].state else {
            panic!("{:?}", zones[0]);
        };
        assert_eq!(alloc::format!("{}", record.name), "dmesg-ramoops-0.enc.z");
        assert_eq!(record.time_ns, Some(1_700_000_000_000_042_000));
        assert_eq!(record.bytes, b"packed");
        assert_eq!(zones[1].state, ZoneState::NoHeader);
        let ZoneState::Record(record) = &zones[2].state else {
            panic!("{:?}", zones[2]);
        };
        assert_eq!(record.bytes, b"old new");
        assert_eq!(zones[3].state, ZoneState::Empty);
    }

    #[test]
    fn what_the_driver_would_discard_is_told_with_its_place() {
        let mut image = vec![0; 4 * 4096 - 1];
        put(&mut image, 4096, 0, b"x");
        image[4096 + 8..4096 + 12].copy_from_slice(&5000_u32.to_ne_bytes());
        put(&mut image, 2 * 4096, 2, b"x");
        let errors = records(&image, &geometry()).into_iter();
        let errors: Vec<_> = errors
            .map(|zone| match zone.state {
                ZoneState::Invalid(error) => error,
                state => panic!("{state:?}"),
            })
            .collect();
        assert_eq!(
            errors[0],
            ZoneError::Signature {
                offset: 0,
                found: 0
            }
        );
        assert!(matches!(errors[1], ZoneError::Ring { size: 5000, .. }));
        assert!(matches!(errors[2], ZoneError::Ring { start: 2, .. }));
        assert!(matches!(errors[3], ZoneError::Cut { offset: 0x3000, .. }));
    }
}
