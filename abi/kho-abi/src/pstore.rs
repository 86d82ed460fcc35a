//! The last words of a kernel, layout 1: what `kmod/pstore_kho` hands over. No header of Linux has
//! it; the names follow the series "pstore: add kho backend" of June 2026 and what its reviewers
//! asked for.
//!
//! The subtree [`NODE_NAME`] is one blob: a [`PstoreSer`], then [`Slot::COUNT`] areas of
//! [`PstoreSer::capacity`] bytes, one for each record, in the order of [`Slot`].
//!
//! This file is compiled twice: into this crate, and by the kernel's build into the module. So it
//! has no dependencies but `core` and `zerocopy`, and [`Blob`] is the only reader there is. What it
//! reads was left by another kernel and is believed in nothing: a blob or a record that is not
//! exactly as described is refused with what is wrong, and a bad record does not hide the other.

use core::fmt;

use zerocopy::FromBytes;

#[cfg(test)]
#[path = "pstore/tests.rs"]
mod tests;

/// Name of the KHO subtree, and of its blob below `/sys/kernel/debug/kho/in/sub_fdts`.
pub const NODE_NAME: &str = "pstore-kho";
/// Version of this layout, the first thing in a blob: whoever does not know it reads no further.
pub const VERSION: u32 = 1;

/// Start of the blob; 96 bytes.
#[doc(alias = "pstore_ser")]
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::Immutable,
    zerocopy_derive::KnownLayout,
)]
pub struct PstoreSer {
    /// [`VERSION`].
    pub version: u32,
    /// Records: [`Slot::COUNT`].
    pub slots: u32,
    /// Bytes that each record can have; the writer's choice, so that a reader need not make the
    /// same.
    pub capacity: u64,
    /// The records, by [`Slot`].
    pub records: [RecordSer; Slot::COUNT],
}

/// A record without its text; 40 bytes. All zero when there is none.
#[doc(alias = "pstore_record_ser")]
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::Immutable,
    zerocopy_derive::KnownLayout,
)]
pub struct RecordSer {
    /// Bytes of the text as it is stored; 0 when there is no record. Written after everything else.
    pub size: u64,
    /// When it was written, in seconds since 1970.
    pub time_sec: i64,
    /// And nanoseconds, less than a thousand million.
    pub time_nsec: u32,
    /// Which dump of that boot it is, from 1.
    pub count: i32,
    /// Why it was written: [`Reason`].
    pub reason: u32,
    /// Which part of its dump, from 1; part 1 has the newest lines.
    pub part: u32,
    /// 1 when the text is a raw deflate stream (`fs/pstore/platform.c`), else 0.
    pub compressed: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RecordSer>() == 40);
    assert!(offset_of!(RecordSer, time_sec) == 8);
    assert!(offset_of!(RecordSer, time_nsec) == 16);
    assert!(offset_of!(RecordSer, count) == 20);
    assert!(offset_of!(RecordSer, reason) == 24);
    assert!(offset_of!(RecordSer, part) == 28);
    assert!(offset_of!(RecordSer, compressed) == 32);
    assert!(offset_of!(RecordSer, reserved) == 36);
    assert!(size_of::<PstoreSer>() == 96);
    assert!(offset_of!(PstoreSer, slots) == 4);
    assert!(offset_of!(PstoreSer, capacity) == 8);
    assert!(offset_of!(PstoreSer, records) == 16);
};

/// Why a record was written: `enum kmsg_dump_reason`, `include/linux/kmsg_dump.h`, v7.2 and v7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub u32);

impl Reason {
    /// The kernel panicked.
    #[doc(alias = "KMSG_DUMP_PANIC")]
    pub const PANIC: Self = Self(1);
    /// The kernel met a bug of its own, and may have gone on.
    #[doc(alias = "KMSG_DUMP_OOPS")]
    pub const OOPS: Self = Self(2);
    /// An emergency restart.
    #[doc(alias = "KMSG_DUMP_EMERG")]
    pub const EMERGENCY: Self = Self(3);
    /// The end of a boot in order: reboot, power-off or kexec.
    #[doc(alias = "KMSG_DUMP_SHUTDOWN")]
    pub const SHUTDOWN: Self = Self(4);

    /// Returns what it is called; `None` when there is no such kind.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::PANIC => Some("panic"),
            Self::OOPS => Some("oops"),
            Self::EMERGENCY => Some("emergency"),
            Self::SHUTDOWN => Some("shutdown"),
            _ => None,
        }
    }

    /// Returns the place for records of this kind; `None` when there is no such kind.
    pub const fn slot(self) -> Option<Slot> {
        match self {
            Self::PANIC | Self::OOPS | Self::EMERGENCY => Some(Slot::Crash),
            Self::SHUTDOWN => Some(Slot::Shutdown),
            _ => None,
        }
    }
}

/// A place for one record: a crash that a kernel survived must not keep it from telling how it
/// ended, nor the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// What went wrong first.
    Crash,
    /// How the boot ended.
    Shutdown,
}

impl Slot {
    /// Places in a blob.
    pub const COUNT: usize = 2;
    /// All of them, in their order.
    pub const ALL: [Self; Self::COUNT] = [Self::Crash, Self::Shutdown];

    /// Returns what it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Shutdown => "shutdown",
        }
    }

    /// Returns its place in [`PstoreSer::records`] and among the areas.
    pub const fn index(self) -> usize {
        match self {
            Self::Crash => 0,
            Self::Shutdown => 1,
        }
    }

    /// Returns where its area begins in a blob whose areas have `capacity` bytes; `None` when no
    /// address is that large.
    pub const fn offset(self, capacity: usize) -> Option<usize> {
        match self.index().checked_mul(capacity) {
            Some(before) => before.checked_add(HEADER_BYTES),
            None => None,
        }
    }
}

/// Bytes in front of the first area.
const HEADER_BYTES: usize = size_of::<PstoreSer>();

/// Returns how much each record may have in a blob of `blob_bytes`: a multiple of 8, so that areas
/// are aligned as the header is; 0 when there is no room for any.
pub const fn capacity_of(blob_bytes: usize) -> usize {
    let areas = blob_bytes.saturating_sub(HEADER_BYTES);
    (areas / Slot::COUNT) & !7
}

/// A header that is right.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    ser: PstoreSer,
    capacity: usize,
}

impl Header {
    /// Checks the version, then the rest, against the bytes of the blob, of which `start` are the
    /// first.
    ///
    /// # Errors
    /// [`BlobError`] says what is wrong. Bytes behind the last area are allowed.
    pub fn parse(start: &[u8], blob_bytes: usize) -> Result<Self, BlobError> {
        let found = start.len().min(blob_bytes);
        let Ok((version, _)) = u32::read_from_prefix(start) else {
            return Err(BlobError::Short { found });
        };
        if version != VERSION {
            return Err(BlobError::Version { found: version });
        }
        let Ok((header, _)) = PstoreSer::read_from_prefix(start) else {
            return Err(BlobError::Short { found });
        };
        if usize::try_from(header.slots) != Ok(Slot::COUNT) {
            return Err(BlobError::Slots {
                found: header.slots,
            });
        }
        let Some(areas) = blob_bytes.checked_sub(HEADER_BYTES) else {
            return Err(BlobError::Short { found });
        };
        let available = areas / Slot::COUNT;
        match usize::try_from(header.capacity) {
            Ok(capacity) if capacity > 0 && capacity <= available => Ok(Self {
                ser: header,
                capacity,
            }),
            _ => Err(BlobError::Capacity {
                found: header.capacity,
                available,
            }),
        }
    }

    /// Returns how many bytes each record can have.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns what is said of a record; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// [`RecordError`] says what is wrong with it.
    pub fn record(&self, slot: Slot) -> Result<Option<RecordSer>, RecordError> {
        let [crash, shutdown] = self.ser.records;
        let ser = match slot {
            Slot::Crash => crash,
            Slot::Shutdown => shutdown,
        };
        if ser.size == 0 {
            return Ok(None);
        }
        let is_of_slot = Reason(ser.reason).slot() == Some(slot);
        let fits = usize::try_from(ser.size).is_ok_and(|size| size <= self.capacity);
        let error = match ser {
            _ if !fits => RecordError::Size {
                found: ser.size,
                capacity: self.capacity,
            },
            _ if !is_of_slot => RecordError::Reason { found: ser.reason },
            _ if ser.time_nsec >= 1_000_000_000 => RecordError::Time {
                found: ser.time_nsec,
            },
            _ if ser.compressed > 1 => RecordError::Compressed {
                found: ser.compressed,
            },
            _ if ser.reserved != 0 => RecordError::Reserved {
                found: ser.reserved,
            },
            _ => return Ok(Some(ser)),
        };
        Err(error)
    }
}

/// A whole blob whose header is right.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    header: Header,
    bytes: &'a [u8],
}

impl<'a> Blob<'a> {
    /// Checks the header.
    ///
    /// # Errors
    /// As [`Header::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BlobError> {
        let header = Header::parse(bytes, bytes.len())?;
        Ok(Self { header, bytes })
    }

    /// Returns how many bytes each record can have.
    pub const fn capacity(&self) -> usize {
        self.header.capacity
    }

    /// Returns a record with its text; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// As [`Header::record`].
    pub fn record(&self, slot: Slot) -> Result<Option<Record<'a>>, RecordError> {
        let Some(ser) = self.header.record(slot)? else {
            return Ok(None);
        };
        let text = self.text(slot, ser.size).ok_or(RecordError::Size {
            found: ser.size,
            capacity: self.capacity(),
        })?;
        Ok(Some(Record { ser, text }))
    }

    /// The first `size` bytes of an area.
    fn text(&self, slot: Slot, size: u64) -> Option<&'a [u8]> {
        let start = slot.offset(self.capacity())?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        self.bytes.get(start..end)
    }
}

/// A record that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    ser: RecordSer,
    text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Returns what is said of it.
    pub const fn ser(&self) -> &RecordSer {
        &self.ser
    }

    /// Returns why it was written.
    pub const fn reason(&self) -> Reason {
        Reason(self.ser.reason)
    }

    /// Returns whether [`Self::text`] is a raw deflate stream.
    pub const fn is_compressed(&self) -> bool {
        self.ser.compressed == 1
    }

    /// Returns the text as it is stored.
    pub const fn text(&self) -> &'a [u8] {
        self.text
    }
}

/// Why a blob is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobError {
    /// There is no room for the header.
    Short {
        /// Bytes there are.
        found: usize,
    },
    /// It is of another version.
    Version {
        /// The version.
        found: u32,
    },
    /// It has another number of records.
    Slots {
        /// The number.
        found: u32,
    },
    /// Its areas are empty, or not all in it.
    Capacity {
        /// Bytes of an area by the header.
        found: u64,
        /// Bytes that each could have.
        available: usize,
    },
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { found } => {
                write!(f, "it has {found} bytes, the header {HEADER_BYTES}")
            }
            Self::Version { found } => write!(f, "it is of version {found}, known is {VERSION}"),
            Self::Slots { found } => write!(f, "it has {found} records, not {}", Slot::COUNT),
            Self::Capacity { found, available } => {
                write!(
                    f,
                    "its records may have {found} bytes, there are {available}"
                )
            }
        }
    }
}

impl core::error::Error for BlobError {}

/// Why a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// It is larger than its area.
    Size {
        /// Bytes it says it has.
        found: u64,
        /// Bytes there are.
        capacity: usize,
    },
    /// It was not written for a reason that belongs here.
    Reason {
        /// The reason.
        found: u32,
    },
    /// Its time is none.
    Time {
        /// Nanoseconds of the second.
        found: u32,
    },
    /// Whether it is compressed is not said.
    Compressed {
        /// What is said.
        found: u32,
    },
    /// Something is where nothing should be.
    Reserved {
        /// What.
        found: u32,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { found, capacity } => {
                write!(f, "it has {found} bytes, its area {capacity}")
            }
            Self::Reason { found } => write!(f, "reason {found} does not belong there"),
            Self::Time { found } => write!(f, "its second has {found} nanoseconds"),
            Self::Compressed { found } => write!(f, "its mark of compression is {found}"),
            Self::Reserved { found } => write!(f, "its reserved word is {found:#x}, not 0"),
        }
    }
}

impl core::error::Error for RecordError {}
