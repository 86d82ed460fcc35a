//! Parts that belong together.
//!
//! A dump is written newest part first, each with its own time. The numbers of dumps begin anew at every boot, so records
//! of several boots may have the same reason and number: in order of time, a new dump begins where the number of the part
//! does not grow, or where a minute lies between.

use alloc::vec::Vec;

use crate::dump::{DumpHeader, Reason};

/// Longest time between two parts of one dump: what is written then is written in one go.
const MAX_PAUSE_NS: i128 = 60_000_000_000;

/// A record that has a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The backend it came from.
    pub backend: &'a str,
    /// Its header.
    pub header: &'a DumpHeader,
    /// When it was written, in nanoseconds since 1970; backends have it by the second or better.
    pub time_ns: i128,
    /// The caller's number of it.
    pub index: usize,
}

/// What was written at one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Why.
    pub reason: Reason,
    /// Number of the dump in its boot.
    pub count: i32,
    /// When its first part was written, in nanoseconds since 1970.
    pub time_ns: i128,
    /// The callers' numbers of its parts, oldest lines first: joined in this order they are the text.
    pub parts: Vec<usize>,
    /// Parts that are missing between those that are there and the newest: the text has gaps.
    pub missing_parts: u32,
    highest_part: u32,
}

impl Dump {
    fn begin(part: &Part<'_>) -> Self {
        Self {
            reason: part.header.reason.clone(),
            count: part.header.count,
            time_ns: part.time_ns,
            parts: alloc::vec![part.index],
            missing_parts: part.header.part.saturating_sub(1),
            highest_part: part.header.part,
        }
    }

    fn add(&mut self, part: &Part<'_>) {
        let number = part.header.part;
        let gap = number.saturating_sub(self.highest_part).saturating_sub(1);
        self.missing_parts = self.missing_parts.saturating_add(gap);
        self.highest_part = number;
        self.parts.push(part.index);
    }
}

/// Joins records into dumps, in order of time.
pub fn join(mut parts: Vec<Part<'_>>) -> Vec<Dump> {
    parts.sort_by(|a, b| order(a).cmp(&order(b)));
    let mut dumps: Vec<Dump> = Vec::new();
    let mut last: Option<Part<'_>> = None;
    for part in parts {
        let follows = last.as_ref().is_some_and(|last| {
            (last.backend, &last.header.reason, last.header.count)
                == (part.backend, &part.header.reason, part.header.count)
                && part.header.part > last.header.part
                && part.time_ns.saturating_sub(last.time_ns) < MAX_PAUSE_NS
        });
        match dumps.last_mut() {
            Some(dump) if follows => dump.add(&part),
            _ => dumps.push(Dump::begin(&part)),
        }
        last = Some(part);
    }
    for dump in &mut dumps {
        dump.parts.reverse();
    }
    dumps.sort_by_key(|dump| dump.time_ns);
    dumps
}

/// Dumps of one backend, reason and number stand together, in order of time; parts of the same second by their number.
fn order<'a>(part: &Part<'a>) -> (&'a str, &'a Reason, i32, i128, u32) {
    let header = part.header;
    (
        part.backend,
        &header.reason,
        header.count,
        part.time_ns,
        header.part,
    )
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn header(reason: Reason, count: i32, part: u32) -> DumpHeader {
        DumpHeader {
            reason,
            count,
            part,
        }
    }

    fn joined(records: &[(&str, DumpHeader, i128)]) -> Vec<Dump> {
        let parts = records.iter().enumerate();
        let parts = parts.map(|(index, (backend, header, time_ns))| Part {
            backend,
            header,
            time_ns: *time_ns,
            index,
        });
        join(parts.collect())
    }

    #[test]
    fn parts_are_joined_oldest_first() {
        let dumps = joined(&[
            ("efi_pstore", header(Reason::Oops, 1, 3), 100),
            ("efi_pstore", header(Reason::Oops, 1, 1), 100),
            ("efi_pstore", header(Reason::Shutdown, 2, 1), 200),
            ("efi_pstore", header(Reason::Oops, 1, 2), 100),
        ]);
        assert_eq!(dumps.len(), 2);
        assert_eq!(dumps[0].parts, vec![0, 3, 1]);
        assert_eq!((dumps[0].missing_parts, dumps[1].missing_parts), (0, 0));
        assert_eq!(dumps[1].reason, Reason::Shutdown);
    }

    #[test]
    fn dumps_of_two_boots_with_one_number_stay_apart() {
        let dumps = joined(&[
            ("ramoops", header(Reason::Shutdown, 1, 1), 900),
            ("ramoops", header(Reason::Shutdown, 1, 1), 100),
            ("ramoops", header(Reason::Shutdown, 1, 2), 101),
            ("ramoops", header(Reason::Shutdown, 1, 2), 2 * MAX_PAUSE_NS),
        ]);
        assert_eq!(dumps.len(), 3);
        assert_eq!(dumps[0].parts, vec![2, 1]);
        assert_eq!(dumps[1].parts, vec![0]);
        assert_eq!((&*dumps[2].parts, dumps[2].missing_parts), (&[3][..], 1));
    }

    #[test]
    fn a_gap_is_counted() {
        let dumps = joined(&[
            ("erst", header(Reason::Panic, 1, 5), 3),
            ("erst", header(Reason::Panic, 1, 2), 2),
        ]);
        assert_eq!(dumps.len(), 1);
        assert_eq!(dumps[0].missing_parts, 3);
        let dumps = joined(&[("erst", header(Reason::Panic, 1, u32::MAX), 0)]);
        assert_eq!(dumps[0].missing_parts, u32::MAX - 1);
    }

    #[test]
    fn backends_do_not_mix() {
        let dumps = joined(&[
            ("erst", header(Reason::Panic, 1, 1), 0),
            ("kho", header(Reason::Panic, 1, 2), 1),
        ]);
        assert_eq!(dumps.len(), 2);
    }
}
