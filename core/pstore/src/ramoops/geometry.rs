//! How a region is divided.
//!
//! Source: `ramoops_probe()`, `ramoops_init_przs()`, `ramoops_init_prz()` (`fs/pstore/ram.c`),
//! `persistent_ram_init_ecc()` (`fs/pstore/ram_core.c`), v7.3.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::zone::HEADER_BYTES;

/// Bytes of data that a row of parity is made for.
const ECC_BLOCK_BYTES: u64 = 128;
/// What `ramoops.ecc=1` means.
const ECC_DEFAULT_BYTES: u64 = 16;
/// More zones than a region sensibly has; the driver has no bound of its own.
const MAX_ZONES: u64 = 65_536;

/// Parameters of the driver that say how it divides its region; bytes, as the user gave them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The region (`mem_size`).
    pub mem_bytes: u64,
    /// A dump (`record_size`).
    pub record_bytes: u64,
    /// The console's zone (`console_size`).
    pub console_bytes: u64,
    /// All zones of ftrace together (`ftrace_size`).
    pub ftrace_bytes: u64,
    /// The zone of `/dev/pmsg0` (`pmsg_size`).
    pub pmsg_bytes: u64,
    /// Parity.
    pub ecc: Ecc,
}

/// Reed-Solomon parity in zones (`ramoops.ecc`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ecc {
    /// Bytes for each block of 128.
    row_bytes: u64,
}

impl Ecc {
    /// As the parameter has it: 0 none, 1 sixteen bytes, else the bytes.
    pub const fn of_parameter(value: u64) -> Self {
        let row_bytes = if value == 1 { ECC_DEFAULT_BYTES } else { value };
        Self { row_bytes }
    }

    /// Bytes of parity in a zone of `zone_bytes`; `None`: it does not fit.
    fn total(self, zone_bytes: u64) -> Option<u64> {
        if self.row_bytes == 0 {
            return Some(0);
        }
        let data = zone_bytes.checked_sub(HEADER_BYTES)?;
        let data = data.checked_sub(self.row_bytes)?;
        let block = ECC_BLOCK_BYTES.checked_add(self.row_bytes)?;
        let rows = data.div_ceil(block).checked_add(1)?;
        rows.checked_mul(self.row_bytes)
            .filter(|total| *total < data)
    }
}

/// What a zone is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneKind {
    /// A dump.
    Dmesg,
    /// What went to the console.
    Console,
    /// What programs wrote to `/dev/pmsg0`.
    Pmsg,
    /// Function calls on one processor.
    Ftrace,
}

/// A zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// What it is for.
    pub kind: ZoneKind,
    /// Its number among those of its kind.
    pub index: u64,
    /// Where it begins in the region.
    pub offset: u64,
    /// Its bytes, with header and parity.
    pub bytes: u64,
    /// Bytes of data it has room for.
    pub capacity_bytes: u64,
}

/// A region, divided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Geometry {
    /// The zones, in order.
    pub zones: Vec<Zone>,
    /// Bytes behind the last one that nothing is in.
    pub unused_bytes: u64,
}

/// Why the driver would not take a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// Neither dumps nor anything else are asked for.
    #[error("no size is given for any zone")]
    Nothing,
    /// What is asked for beside dumps does not fit.
    #[error("{wanted_bytes} bytes beside dumps do not fit in a region of {mem_bytes}")]
    TooSmall {
        /// Console, pmsg and ftrace together.
        wanted_bytes: u64,
        /// The region.
        mem_bytes: u64,
    },
    /// Not a single dump fits.
    #[error("no dump of {record_bytes} bytes fits in the {left_bytes} that are left of the region")]
    NoRecord {
        /// A dump.
        record_bytes: u64,
        /// What is left beside the other zones.
        left_bytes: u64,
    },
    /// A zone has no room for data beside header and parity.
    #[error("a zone of {zone_bytes} bytes has no room for data beside header and parity")]
    NoData {
        /// The zone.
        zone_bytes: u64,
    },
    /// More zones than are looked at here.
    #[error("{found} zones; at most {MAX_ZONES} are looked at")]
    TooMany {
        /// How many.
        found: u64,
    },
}

/// A size as the driver takes it: down to a power of two; 0 stays 0.
pub const fn rounded_down(bytes: u64) -> u64 {
    match bytes.checked_ilog2() {
        Some(log) => 1 << log,
        None => 0,
    }
}

impl Parameters {
    /// The parameters with sizes as the driver rounds them. That of the region stays.
    #[must_use]
    pub const fn rounded(self) -> Self {
        Self {
            record_bytes: rounded_down(self.record_bytes),
            console_bytes: rounded_down(self.console_bytes),
            ftrace_bytes: rounded_down(self.ftrace_bytes),
            pmsg_bytes: rounded_down(self.pmsg_bytes),
            ..self
        }
    }
}

impl Geometry {
    /// Divides a region as the driver does, with `processors` possible ones for ftrace.
    ///
    /// # Errors
    /// [`GeometryError`]: the driver would not take the region, or a zone could hold nothing.
    pub fn of(parameters: &Parameters, processors: u64) -> Result<Self, GeometryError> {
        let Parameters {
            mem_bytes,
            record_bytes,
            console_bytes,
            ftrace_bytes,
            pmsg_bytes,
            ecc,
        } = parameters.rounded();
        if record_bytes == 0 && console_bytes == 0 && ftrace_bytes == 0 && pmsg_bytes == 0 {
            return Err(GeometryError::Nothing);
        }
        let sizes = [console_bytes, pmsg_bytes, ftrace_bytes];
        let wanted_bytes = sizes.into_iter().fold(0, u64::saturating_add);
        let left_bytes = mem_bytes.checked_sub(wanted_bytes);
        let left_bytes = left_bytes.ok_or(GeometryError::TooSmall {
            wanted_bytes,
            mem_bytes,
        })?;
        let records = left_bytes.checked_div(record_bytes).unwrap_or(0);
        if record_bytes != 0 && records == 0 {
            return Err(GeometryError::NoRecord {
                record_bytes,
                left_bytes,
            });
        }
        let single = |bytes: u64| u64::from(bytes != 0);
        let processors = if ftrace_bytes == 0 { 0 } else { processors };
        let of_ftrace = ftrace_bytes.checked_div(processors).unwrap_or(0);
        let kinds = [
            (ZoneKind::Dmesg, records, record_bytes),
            (ZoneKind::Console, single(console_bytes), console_bytes),
            (ZoneKind::Pmsg, single(pmsg_bytes), pmsg_bytes),
            (ZoneKind::Ftrace, processors, of_ftrace),
        ];
        let found = kinds.iter().map(|(_, count, _)| *count);
        let found = found.fold(0, u64::saturating_add);
        if found > MAX_ZONES {
            return Err(GeometryError::TooMany { found });
        }
        let mut zones = Vec::new();
        let mut offset: u64 = 0;
        for (kind, count, bytes) in kinds {
            for index in 0..count {
                zones.push(zone(kind, index, offset, bytes, ecc)?);
                offset = offset.saturating_add(bytes);
            }
        }
        Ok(Self {
            zones,
            unused_bytes: mem_bytes.saturating_sub(offset),
        })
    }

    /// The zones of a kind.
    pub fn of_kind(&self, kind: ZoneKind) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter(move |zone| zone.kind == kind)
    }
}

fn zone(
    kind: ZoneKind,
    index: u64,
    offset: u64,
    bytes: u64,
    ecc: Ecc,
) -> Result<Zone, GeometryError> {
    let beside = ecc.total(bytes).and_then(|it| it.checked_add(HEADER_BYTES));
    let capacity = beside.and_then(|beside| bytes.checked_sub(beside));
    let capacity_bytes = capacity
        .filter(|capacity| *capacity != 0)
        .ok_or(GeometryError::NoData { zone_bytes: bytes })?;
    Ok(Zone {
        kind,
        index,
        offset,
        bytes,
        capacity_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Parameters = Parameters {
        mem_bytes: 2 << 20,
        record_bytes: 0x40000,
        console_bytes: 0x40000,
        ftrace_bytes: 0,
        pmsg_bytes: 0x10000,
        ecc: Ecc { row_bytes: 0 },
    };

    #[test]
    fn zones_follow_one_another_dumps_first() {
        let geometry = Geometry::of(&RECIPE, 2).unwrap();
        let dumps: Vec<_> = geometry.of_kind(ZoneKind::Dmesg).collect();
        assert_eq!(dumps.len(), 6);
        assert_eq!(dumps[5].offset, 5 * 0x40000);
        let console = geometry.of_kind(ZoneKind::Console).next().unwrap();
        assert_eq!(
            (console.offset, console.capacity_bytes),
            (0x18_0000, 0x3fff4)
        );
        let pmsg = geometry.of_kind(ZoneKind::Pmsg).next().unwrap();
        assert_eq!(pmsg.offset, 0x1c_0000);
        assert_eq!(geometry.unused_bytes, (2 << 20) - 0x1d_0000);
    }

    #[test]
    fn sizes_are_rounded_down_and_that_of_the_region_is_not() {
        assert_eq!(
            [0, 1, 4096, 4097, 8191, u64::MAX].map(rounded_down),
            [0, 1, 4096, 4096, 4096, 1 << 63]
        );
        let odd = Parameters {
            mem_bytes: 3 << 20,
            record_bytes: 300_000,
            ..RECIPE
        };
        let geometry = Geometry::of(&odd, 2).unwrap();
        assert_eq!(geometry.of_kind(ZoneKind::Dmesg).count(), 10);
        assert_eq!(geometry.zones[0].bytes, 0x40000);
    }

    #[test]
    fn ftrace_is_divided_among_processors() {
        let parameters = Parameters {
            ftrace_bytes: 0x10000,
            ..RECIPE
        };
        let geometry = Geometry::of(&parameters, 3).unwrap();
        let zones: Vec<_> = geometry.of_kind(ZoneKind::Ftrace).collect();
        assert_eq!((zones.len(), zones[0].bytes), (3, 0x10000 / 3));
    }

    #[test]
    fn parity_takes_its_room() {
        let ecc = Parameters {
            ecc: Ecc::of_parameter(1),
            ..RECIPE
        };
        let geometry = Geometry::of(&ecc, 2).unwrap();
        // (0x40000 - 12 - 16) / 144, up, and the header's row, 16 bytes each.
        let parity = (u64::div_ceil(0x40000 - 28, 144) + 1) * 16;
        assert_eq!(geometry.zones[0].capacity_bytes, 0x40000 - 12 - parity);
    }

    #[test]
    fn what_the_driver_refuses_is_refused() {
        let of = |parameters| Geometry::of(&parameters, 2).unwrap_err();
        assert_eq!(of(Parameters::default()), GeometryError::Nothing);
        let small = Parameters {
            mem_bytes: 0x40000,
            ..RECIPE
        };
        assert!(matches!(of(small), GeometryError::TooSmall { .. }));
        let full = Parameters {
            mem_bytes: 0x50000,
            ..RECIPE
        };
        assert!(matches!(of(full), GeometryError::NoRecord { .. }));
        let tiny = Parameters {
            record_bytes: 8,
            mem_bytes: 0x60000,
            ..RECIPE
        };
        assert!(matches!(of(tiny), GeometryError::NoData { .. }));
        let many = Parameters {
            record_bytes: 16,
            mem_bytes: u64::MAX,
            ..RECIPE
        };
        assert!(matches!(of(many), GeometryError::TooMany { .. }));
    }
}
