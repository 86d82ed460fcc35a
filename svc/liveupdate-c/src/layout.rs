//! Structures and constants of `liveupdate.h`.

use std::ffi::c_char;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::IntoRawFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use liveupdate::{Event, EventKind, Events, Item, MemfdSpec, Origin, Preserved, Seals, Store};
use rustix::io::Errno;

use crate::failure::Failure;

/// `LIVEUPDATE_NAME_SIZE`.
pub const NAME_SIZE: usize = 256;
/// `LIVEUPDATE_ID_SIZE`.
pub const ID_SIZE: usize = 64;
/// `LIVEUPDATE_ANY_SIZE`.
pub const ANY_SIZE: u32 = 0x1;
/// `LIVEUPDATE_OPTIONAL`.
pub const OPTIONAL: u32 = 0x2;

// What a program compiled against the header counts on; `tests/calls.c` has the same numbers.
const _: () = {
    assert!(size_of::<CSpec>() == 56 && offset_of!(CSpec, seals) == 20);
    assert!(offset_of!(CSpec, reserved) == 24);
    assert!(size_of::<CItem>() == 24 && offset_of!(CItem, size_bytes) == 16);
    assert!(size_of::<CEvent>() == 80 && offset_of!(CEvent, update_id) == 16);
};

/// `struct liveupdate_memfd_spec`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CSpec {
    /// Bytes of a new memfd, and of a kept one unless [`ANY_SIZE`] is set.
    pub size_bytes: u64,
    /// First version understood.
    pub schema_min: u32,
    /// Last version understood; that of a new memfd.
    pub schema_max: u32,
    /// [`ANY_SIZE`] and [`OPTIONAL`].
    pub flags: u32,
    /// `F_SEAL_*` of a new memfd.
    pub seals: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

impl CSpec {
    /// The crate's own spec.
    pub(crate) fn to_spec(self) -> Result<MemfdSpec, Failure> {
        let known = ANY_SIZE | OPTIONAL;
        if self.flags & !known != 0 {
            let text = format!("the spec has unknown flags {:#x}", self.flags & !known);
            return Err(Failure::new(Errno::INVAL, text));
        }
        if self.reserved != [0; 4] {
            let text = "reserved words of the spec are not zero: is it initialised?";
            return Err(Failure::new(Errno::INVAL, text));
        }
        if self.schema_min > self.schema_max {
            let (min, max) = (self.schema_min, self.schema_max);
            let text = format!("the spec has schemas from {min} to {max}, which are none");
            return Err(Failure::new(Errno::INVAL, text));
        }
        let mut spec = MemfdSpec::new(self.size_bytes)
            .schemas(self.schema_min..=self.schema_max)
            .seals(Seals::from_bits(self.seals));
        if self.flags & ANY_SIZE != 0 {
            spec = spec.any_size();
        }
        if self.flags & OPTIONAL != 0 {
            spec = spec.optional();
        }
        Ok(spec)
    }
}

/// `struct liveupdate_item`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CItem {
    /// The caller's descriptor.
    pub fd: i32,
    /// `LIVEUPDATE_NEW`, `_KEPT` or `_UPDATED`.
    pub origin: u32,
    /// Version of its content.
    pub schema: u32,
    /// Zero.
    pub reserved: u32,
    /// Its size.
    pub size_bytes: u64,
}

impl From<Item> for CItem {
    fn from(item: Item) -> Self {
        Self {
            origin: origin(item.origin()),
            schema: item.schema(),
            reserved: 0,
            size_bytes: item.size_bytes(),
            fd: item.into_fd().into_raw_fd(),
        }
    }
}

/// `LIVEUPDATE_NEW`, `_KEPT`, `_UPDATED`.
const fn origin(origin: Origin) -> u32 {
    match origin {
        Origin::New => 0,
        Origin::Kept => 1,
        Origin::Updated => 2,
    }
}

/// `LIVEUPDATE_PREPARE`, `_FREEZE`, `_CANCEL`.
const fn kind(kind: EventKind) -> u32 {
    match kind {
        EventKind::Prepare => 0,
        EventKind::Freeze => 1,
        EventKind::Cancel => 2,
    }
}

/// `struct liveupdate_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CEvent {
    /// `LIVEUPDATE_PREPARE`, `_FREEZE` or `_CANCEL`.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// Time there is to answer.
    pub deadline_ms: u64,
    /// Identity of the update.
    pub update_id: [c_char; ID_SIZE],
}

impl CEvent {
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            kind: kind(event.kind()),
            reserved: 0,
            deadline_ms: u64::try_from(event.deadline().as_millis()).unwrap_or(u64::MAX),
            // An identity that does not fit is no identity that luod gives.
            update_id: text(event.update_id()).unwrap_or([0; ID_SIZE]),
        }
    }
}

/// A text with zeros behind it; `None` when it does not fit with one.
pub(crate) fn text<const SIZE: usize>(text: &str) -> Option<[c_char; SIZE]> {
    if text.len() >= SIZE {
        return None;
    }
    let mut place = [0; SIZE];
    for (place, byte) in place.iter_mut().zip(text.bytes()) {
        *place = c_char::from_ne_bytes([byte]);
    }
    Some(place)
}

/// A place of the caller's for a result; null is refused.
pub(crate) type Place<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// `struct liveupdate_store`.
#[derive(Debug)]
pub struct CStore(Mutex<Held>);

/// A store, and what its next finish gives up.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) store: Store,
    pub(crate) discard: Vec<String>,
}

impl CStore {
    pub(crate) fn new(store: Store) -> Self {
        let discard = Vec::new();
        Self(Mutex::new(Held { store, discard }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `struct liveupdate_events`.
#[derive(Debug)]
pub struct CEvents {
    /// The descriptor to poll, known without waiting for who waits for a step.
    pub(crate) number: i32,
    stream: Mutex<Stream>,
}

/// A stream, and the step that waits for an answer.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) events: Events,
    pub(crate) last: Option<Event>,
}

impl CEvents {
    pub(crate) const fn new(number: i32, events: Events) -> Self {
        let stream = Mutex::new(Stream { events, last: None });
        Self { number, stream }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `struct liveupdate_preserved`.
#[derive(Debug)]
pub struct CPreserved {
    /// Dropped with it.
    pub(crate) _preserved: Preserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = include_str!("../include/liveupdate.h");

    /// The number that the header defines.
    fn defined(name: &str) -> u32 {
        let line = HEADER.lines().find_map(|line| {
            let (own, rest) = line.strip_prefix("#define LIVEUPDATE_")?.split_once(' ')?;
            (own == name).then_some(rest)
        });
        let digits = line.unwrap().split(' ').next().unwrap();
        let digits = digits.trim_end_matches('u');
        match digits.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).unwrap(),
            None => digits.parse().unwrap(),
        }
    }

    #[test]
    fn the_header_defines_the_numbers_that_are_meant_here() {
        let numbers = [
            ("NAME_SIZE", NAME_SIZE.try_into().unwrap()),
            ("ID_SIZE", ID_SIZE.try_into().unwrap()),
            ("ANY_SIZE", ANY_SIZE),
            ("OPTIONAL", OPTIONAL),
            ("NEW", origin(Origin::New)),
            ("KEPT", origin(Origin::Kept)),
            ("UPDATED", origin(Origin::Updated)),
            ("PREPARE", kind(EventKind::Prepare)),
            ("FREEZE", kind(EventKind::Freeze)),
            ("CANCEL", kind(EventKind::Cancel)),
        ];
        for (name, number) in numbers {
            assert_eq!(defined(name), number, "{name}");
        }
        let version = ["MAJOR", "MINOR", "PATCH"].map(|part| defined(&format!("VERSION_{part}")));
        let version = version.map(|number| number.to_string()).join(".");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }

    const SPEC: CSpec = CSpec {
        size_bytes: 4096,
        schema_min: 1,
        schema_max: 2,
        flags: ANY_SIZE | OPTIONAL,
        seals: 6,
        reserved: [0; 4],
    };

    #[test]
    fn a_spec_that_says_something_unknown_is_refused_and_not_guessed() {
        let expected = MemfdSpec::new(4096).schemas(1..=2).any_size().optional();
        assert_eq!(SPEC.to_spec().unwrap(), expected);
        let wrong = [
            CSpec { flags: 4, ..SPEC },
            CSpec {
                schema_min: 3,
                ..SPEC
            },
            CSpec {
                reserved: [0, 0, 0, 1],
                ..SPEC
            },
        ];
        for spec in wrong {
            assert_eq!(spec.to_spec().unwrap_err().errno(), Errno::INVAL);
        }
    }

    #[test]
    fn a_text_that_fits_only_without_its_zero_does_not_fit() {
        assert_eq!(text::<3>("ab"), Some([97, 98, 0]));
        assert_eq!(text::<3>("abc"), None);
    }
}
