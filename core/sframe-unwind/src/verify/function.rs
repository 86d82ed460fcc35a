//! Descriptors: their order, their extent, their rows.

use core::ops::Range;

use super::{At, Check, Code, Policy, Severity};
use crate::abi::Endian;
use crate::bytes::{index, read_at};
use crate::error::Malformed;
use crate::fde::{Fde, FdeKind, PauthKey, PcType};
use crate::header::Version;
use crate::rule::Unwind;
use crate::section::ATTRIBUTES_LEN;

/// The function in front, as far as the next one is compared with it.
#[derive(Clone, Copy, Debug)]
struct Previous {
    start: u64,
    end: u64,
}

/// Whether one of the ranges, which ascend, has all of this.
fn is_within(text: &[Range<u64>], start: u64, end: u64) -> bool {
    let behind = text.partition_point(|range| range.start <= start);
    let range = behind.checked_sub(1).and_then(|at| text.get(at));
    range.is_some_and(|range| end <= range.end)
}

impl Check<'_, '_> {
    pub(super) fn functions(&mut self) {
        let header = *self.section.header();
        let mut previous = None;
        let mut bytes = 0_u64;
        for (at, fde) in (0..).zip(self.section.fdes_with_rows()) {
            match fde {
                Ok(fde) => {
                    previous = Some(self.order(&fde, previous));
                    self.reserved(&fde);
                    let rows = self.function(&fde);
                    bytes = bytes.saturating_add(rows);
                }
                Err(malformed) => self.malformed(None, malformed, at),
            }
        }
        if self.report.rows != u64::from(header.num_fres) {
            self.error(Code::RowCount, At::default(), header.num_fres.into());
        }
        if bytes != u64::from(header.fre_len) {
            let value = i64::try_from(bytes).unwrap_or(i64::MAX);
            let unaccounted = Some(Severity::Warning);
            self.kernel(unaccounted, Code::RowBytes, At::default(), value);
        }
    }

    fn malformed(&mut self, start: Option<u64>, malformed: Malformed, at: u32) {
        let place = At {
            fde: Some(at),
            start,
            row: Some(malformed.offset),
        };
        self.error(Code::Malformed, place, malformed.offset.into());
    }

    fn place(&self, fde: &Fde) -> At {
        At {
            fde: Some(fde.index),
            start: Some(fde.start),
            row: None,
        }
    }

    /// Order and overlap are of neighbours: enough for a section that is sorted.
    fn order(&mut self, fde: &Fde, previous: Option<Previous>) -> Previous {
        let place = self.place(fde);
        let size = i64::from(fde.size);
        if fde.size == 0 {
            self.warning(Code::ZeroSize, place, size);
        }
        let end = fde.start.checked_add(fde.size.into());
        // Functions are ordered by their distance from the section, and by their address: both must be one order.
        let section_addr = self.section.addr();
        let distance = fde.start.wrapping_sub(section_addr).cast_signed();
        let is_one_order = section_addr.checked_add_signed(distance).is_some()
            && distance.checked_add(size).is_some();
        if end.is_none() || !is_one_order {
            self.error(Code::AddressWraps, place, size);
        }
        let end = end.unwrap_or(u64::MAX);
        if self
            .place
            .is_some_and(|of| !is_within(of.text, fde.start, end))
        {
            let odd = Some(Severity::Warning);
            self.kernel(odd, Code::OutsideText, place, fde.start.cast_signed());
        }
        let this = Previous {
            start: fde.start,
            end,
        };
        let Some(previous) = previous.filter(|_| self.section.is_sorted()) else {
            return this;
        };
        if fde.start < previous.start {
            self.error(Code::SortedLie, place, fde.start.cast_signed());
        } else if fde.start < previous.end {
            let others = Some(Severity::Warning);
            self.kernel(others, Code::Overlap, place, previous.end.cast_signed());
        }
        Previous {
            start: this.start,
            end: this.end.max(previous.end),
        }
    }

    /// Bits without a meaning, and those that mean nothing to this processor.
    fn reserved(&mut self, fde: &Fde) {
        let header = self.section.header();
        let place = self.place(fde);
        if let Some(bits) = self
            .section
            .reserved_bits(fde.index)
            .filter(|bits| *bits != 0)
        {
            self.error(Code::ReservedBits, place, bits.into());
        }
        if fde.key == PauthKey::B && !header.abi.is_aarch64() {
            self.error(Code::SignedRa, place, 1);
        }
    }

    /// The rows of a function; returns the bytes they and the attributes take.
    fn function(&mut self, fde: &Fde) -> u64 {
        let place = self.place(fde);
        self.report.functions = self.report.functions.saturating_add(1);
        let is_v3 = self.section.header().version == Version::V3;
        let rows = i64::from(fde.num_fres);
        if fde.kind == FdeKind::Flexible {
            let is_odd = self.section.header().abi.is_aarch64();
            let severity = match self.policy {
                Policy::User(_) => Severity::Error,
                _ => Severity::Warning,
            };
            self.kernel(is_odd.then_some(severity), Code::Flexible, place, rows);
        }
        if fde.is_signal_frame {
            self.kernel(None, Code::SignalFrame, place, rows);
            if fde.num_fres == 0 {
                self.warning(Code::SignalWithoutRows, place, rows);
            }
        }
        if fde.pc_type == PcType::Mask {
            self.kernel(None, Code::RepeatedCode, place, fde.rep_size.into());
            if fde.rep_size == 0 {
                let malformed = fde.malformed(fde.fre_off, crate::MalformedKind::RepSize);
                self.malformed(Some(fde.start), malformed, fde.index);
            }
        }
        if fde.is_outermost() && is_v3 {
            self.kernel(None, Code::Outermost, place, rows);
        }
        let begin = fde.fre_off;
        let end = self.rows(fde);
        let attributes = if is_v3 { ATTRIBUTES_LEN } else { 0 };
        u64::from(end.saturating_sub(begin).saturating_add(attributes))
    }

    /// Each row; returns the offset behind the last one.
    fn rows(&mut self, fde: &Fde) -> u32 {
        let header = *self.section.header();
        let mut last: Option<u32> = None;
        let mut fres = self.section.fres(fde);
        let mut offset = fres.offset();
        let extent = match fde.pc_type {
            PcType::Inc => fde.size,
            PcType::Mask => u32::from(fde.rep_size),
        };
        while let Some(fre) = fres.next() {
            let place = At {
                row: Some(offset),
                ..self.place(fde)
            };
            let row = fre.and_then(|fre| {
                let row = fre.decode(&header, fde.kind);
                row.map(|row| (fre, row))
                    .map_err(|kind| fde.malformed(offset, kind))
            });
            offset = fres.offset();
            let (fre, row) = match row {
                Ok(row) => row,
                Err(malformed) => {
                    self.malformed(Some(fde.start), malformed, fde.index);
                    continue;
                }
            };
            self.report.rows = self.report.rows.saturating_add(1);
            let start = i64::from(row.start);
            match last {
                Some(last) if row.start <= last => self.error(Code::RowOrder, place, start),
                None if row.start != 0 => self.warning(Code::LateRow, place, start),
                _ => {}
            }
            if row.start >= extent {
                self.error(Code::RowOutside, place, start);
            }
            last = Some(row.start);
            match row.unwind {
                Unwind::Outermost => {
                    self.kernel(None, Code::Outermost, place, start);
                    if fre.info != 0 {
                        self.error(Code::ReservedBits, place, fre.info.into());
                    }
                }
                Unwind::Caller(rules) => self.rules(place, &rules),
            }
        }
        if last.is_some() {
            self.report.covered_bytes = self.report.covered_bytes.saturating_add(fde.size.into());
        }
        offset
    }
}

impl crate::section::Section<'_> {
    /// Bits of a descriptor that its version defines no meaning for.
    fn reserved_bits(&self, at: u32) -> Option<u32> {
        let header = self.header();
        let (info, info2) = match header.version {
            Version::V1 | Version::V2 => (self.info(at)?, 0),
            Version::V3 => self.v3_info(at)?,
        };
        let info = match header.version {
            Version::V1 | Version::V2 => info & 0xc0,
            Version::V3 => info & 0x40,
        };
        Some(u32::from(info) | u32::from(info2 & 0xe0) << 8)
    }

    fn info(&self, at: u32) -> Option<u8> {
        self.entry(at)?.get(16).copied()
    }

    fn v3_info(&self, at: u32) -> Option<(u8, u8)> {
        let endian: Endian = self.header().abi.endian();
        let fre_off: u32 = read_at(self.entry(at)?, 12, endian)?;
        match self.fres_bytes().get(index(fre_off)..)? {
            [_, _, info, info2, ..] => Some((*info, *info2)),
            _ => None,
        }
    }
}
