//! A section, read in place.

use crate::bytes::{index, read_at};
use crate::error::{Malformed, MalformedKind, ParseError};
use crate::fde::{Fde, Packed, PcType};
use crate::fre::Fres;
use crate::header::{Flags, Header, Version};
use crate::rule::{Row, Unwind};
use crate::search;

/// Bytes of a repeated block that version 1 does not store: an entry of the PLT of x86-64, all there was.
pub(crate) const V1_REP_SIZE: u8 = 16;

/// Where a section is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Address of its first byte, in the same address space as the instructions to look up.
    pub section_addr: u64,
}

/// SFrame data, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    header: Header,
    fdes: &'a [u8],
    fres: &'a [u8],
    addr: u64,
    /// Offset of the function index in the section.
    fdes_offset: u64,
    len: usize,
}

/// What covers an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The function.
    pub fde: Fde,
    /// The rules at the instruction.
    pub row: Row,
}

impl<'a> Section<'a> {
    /// Reads the header and finds the parts; functions are looked at when they are asked for.
    ///
    /// # Errors
    /// The header is not one this crate knows, or a part is outside of `bytes`.
    pub fn parse(bytes: &'a [u8], placement: Placement) -> Result<Self, ParseError> {
        let header = Header::read(bytes)?;
        let body = bytes
            .get(header.len_bytes()..)
            .ok_or(ParseError::Truncated {
                need: header.len_bytes(),
                len: bytes.len(),
            })?;
        let part = |offset: u32, len: usize| {
            let begin = index(offset);
            body.get(begin..begin.checked_add(len)?)
        };
        let fdes = index(header.num_fdes)
            .checked_mul(header.version.fde_len())
            .and_then(|len| part(header.fdeoff, len))
            .ok_or(ParseError::FdesOutside {
                count: header.num_fdes,
                offset: header.fdeoff,
                len: body.len(),
            })?;
        let fres = part(header.freoff, index(header.fre_len)).ok_or(ParseError::FresOutside {
            rows_len: header.fre_len,
            offset: header.freoff,
            len: body.len(),
        })?;
        let fdes_offset = u64::try_from(header.len_bytes()).unwrap_or(u64::MAX);
        Ok(Self {
            header,
            fdes,
            fres,
            addr: placement.section_addr,
            fdes_offset: fdes_offset.saturating_add(u64::from(header.fdeoff)),
            len: bytes.len(),
        })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Address of its first byte.
    #[must_use]
    pub const fn addr(&self) -> u64 {
        self.addr
    }

    /// Bytes it was read from.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len
    }

    pub(crate) const fn fres_bytes(&self) -> &'a [u8] {
        self.fres
    }

    /// Whether descriptors are said to ascend by address; only then [`Self::find`] needs few steps.
    #[must_use]
    pub const fn is_sorted(&self) -> bool {
        self.header.flags.contains(Flags::SORTED)
    }

    /// The descriptors.
    pub fn fdes(&self) -> impl Iterator<Item = Result<Fde, Malformed>> + use<'a> {
        let section = *self;
        (0..self.header.num_fdes).filter_map(move |at| section.fde(at))
    }

    /// Descriptor number `at`; `None` when there are not so many.
    #[must_use]
    pub fn fde(&self, at: u32) -> Option<Result<Fde, Malformed>> {
        let entry = self.entry(at)?;
        let start = self.start(entry, at)?;
        Some(self.decode(entry, at, start))
    }

    /// The rows of a descriptor of this section, as they are stored.
    #[must_use]
    pub fn fres(&self, fde: &Fde) -> Fres<'a> {
        Fres::new(self.fres, *fde, self.header.abi.endian())
    }

    /// The descriptors, for reading all their rows: when they have more than there are bytes for, because they
    /// share them, the one that has them is an error, and the last. Else a small section could take long.
    pub(crate) fn fdes_with_rows(&self) -> impl Iterator<Item = Result<Fde, Malformed>> + use<'a> {
        // A start and the packed fields, of a byte each.
        let mut left = Some(self.header.fre_len >> 1);
        self.fdes().map_while(move |fde| {
            let fde = match fde {
                Ok(fde) => fde,
                Err(malformed) => return left.map(|_left| Err(malformed)),
            };
            left = left?.checked_sub(fde.num_fres);
            Some(match left {
                Some(_) => Ok(fde),
                None => Err(fde.malformed(fde.fre_off, MalformedKind::SharedRows)),
            })
        })
    }

    /// What the rows of a descriptor of this section say.
    pub fn rows(&self, fde: &Fde) -> impl Iterator<Item = Result<Row, Malformed>> + use<'a> {
        let (header, fde) = (self.header, *fde);
        let mut fres = self.fres(&fde);
        core::iter::from_fn(move || {
            let offset = fres.offset();
            let fre = fres.next()?;
            Some(fre.and_then(|fre| {
                fre.decode(&header, fde.kind)
                    .map_err(|kind| fde.malformed(offset, kind))
            }))
        })
    }

    /// The rules at an instruction; `None` when nothing covers it.
    ///
    /// Takes O(log n) steps in a section that is sorted, and O(n) in one that is not: compile those.
    /// Where functions overlap, the one that begins last is meant.
    ///
    /// # Errors
    /// The function contradicts itself.
    pub fn find(&self, pc: u64) -> Result<Option<Found>, Malformed> {
        let Some(fde) = self.find_fde(pc) else {
            return Ok(None);
        };
        let fde = fde?;
        self.find_row(&fde, pc)
    }

    /// The row of an instruction of a descriptor of this section.
    ///
    /// # Errors
    /// The function contradicts itself.
    pub fn find_row(&self, fde: &Fde, pc: u64) -> Result<Option<Found>, Malformed> {
        let found = |row| Found { fde: *fde, row };
        if fde.is_outermost() && self.header.version == Version::V3 {
            return Ok(Some(found(Row {
                start: 0,
                unwind: Unwind::Outermost,
            })));
        }
        let fres = self.fres(fde);
        let Some(fre) = fres.last_before(fde.row_offset(pc)?)? else {
            return Ok(None);
        };
        let row = fre.decode(&self.header, fde.kind);
        row.map(|row| Some(found(row)))
            .map_err(|kind| fde.malformed(fde.fre_off, kind))
    }

    /// The descriptor of the function that has an instruction.
    #[must_use]
    pub fn find_fde(&self, pc: u64) -> Option<Result<Fde, Malformed>> {
        if !self.is_sorted() {
            return self.find_unsorted(pc);
        }
        // Distances from the section order functions on both sides of it, at any address.
        let wanted = pc.wrapping_sub(self.addr).cast_signed();
        let at = search::last_at_or_before(self.header.num_fdes, wanted, |at| {
            self.distance(self.entry(at)?, at)
        })?;
        let entry = self.entry(at)?;
        let start = self.start(entry, at)?;
        let size: u32 = read_at(entry, self.size_offset(), self.header.abi.endian())?;
        (pc.wrapping_sub(start) < u64::from(size)).then(|| self.decode(entry, at, start))
    }

    /// Looks at every descriptor for the one that begins last, at the address or before.
    fn find_unsorted(&self, pc: u64) -> Option<Result<Fde, Malformed>> {
        let starts = (0..self.header.num_fdes).filter_map(|at| {
            let start = self.start(self.entry(at)?, at)?;
            (start <= pc).then_some((start, at))
        });
        let (_, at) = starts.max()?;
        self.fde(at)
            .filter(|fde| fde.is_err() || fde.is_ok_and(|fde| fde.contains(pc)))
    }

    #[inline]
    pub(crate) fn entry(&self, at: u32) -> Option<&'a [u8]> {
        let len = self.header.version.fde_len();
        let begin = index(at).checked_mul(len)?;
        self.fdes.get(begin..begin.checked_add(len)?)
    }

    /// Distance of a function's start from the section.
    #[inline]
    fn distance(&self, entry: &[u8], at: u32) -> Option<i64> {
        let endian = self.header.abi.endian();
        let stored = match self.header.version {
            Version::V1 | Version::V2 => read_at::<i32>(entry, 0, endian)?.into(),
            Version::V3 => read_at::<i64>(entry, 0, endian)?,
        };
        if !self.header.flags.contains(Flags::PCREL) {
            return Some(stored);
        }
        let field = self.field_offset(at);
        Some(stored.wrapping_add(field.cast_signed()))
    }

    /// Offset of the start address of a descriptor in the section.
    pub(crate) fn field_offset(&self, at: u32) -> u64 {
        let len = match self.header.version {
            Version::V1 => 17,
            Version::V2 => 20,
            Version::V3 => 16,
        };
        self.fdes_offset
            .wrapping_add(u64::from(at).wrapping_mul(len))
    }

    #[inline]
    fn start(&self, entry: &[u8], at: u32) -> Option<u64> {
        Some(self.addr.wrapping_add_signed(self.distance(entry, at)?))
    }

    const fn size_offset(&self) -> usize {
        match self.header.version {
            Version::V1 | Version::V2 => 4,
            Version::V3 => 8,
        }
    }

    fn decode(&self, entry: &[u8], at: u32, start: u64) -> Result<Fde, Malformed> {
        let endian = self.header.abi.endian();
        let size = self.size_offset();
        let word = |at: usize| read_at::<u32>(entry, at, endian).unwrap_or(0);
        let fre_off = word(size.saturating_add(4));
        let malformed = |kind| Malformed {
            fde: at,
            offset: fre_off,
            kind,
        };
        let byte = |at: usize| entry.get(at).copied().unwrap_or(0);
        let (num_fres, packed, rep_size, first) = match self.header.version {
            Version::V1 => (word(12), (byte(16), 0), self.v1_rep_size(byte(16)), fre_off),
            Version::V2 => (word(12), (byte(16), 0), byte(17), fre_off),
            Version::V3 => {
                let attributes = self.fres.get(index(fre_off)..);
                let Some([low, high, info, info2, rep_size, ..]) = attributes else {
                    return Err(malformed(MalformedKind::AttributesOutside));
                };
                let num_fres = match endian {
                    crate::Endian::Little => u16::from_le_bytes([*low, *high]),
                    crate::Endian::Big => u16::from_be_bytes([*low, *high]),
                };
                let first = fre_off.saturating_add(ATTRIBUTES_LEN);
                (u32::from(num_fres), (*info, *info2), *rep_size, first)
            }
        };
        let packed = Packed {
            info: packed.0,
            info2: packed.1,
        };
        let is_v3 = self.header.version == Version::V3;
        Ok(Fde {
            index: at,
            start,
            size: word(size),
            num_fres,
            fre_off: first,
            addr_size: packed.addr_size().map_err(malformed)?,
            pc_type: packed.pc_type(),
            key: packed.key(),
            is_signal_frame: is_v3 && packed.is_signal_frame(),
            kind: packed.kind().map_err(malformed)?,
            rep_size,
        })
    }

    fn v1_rep_size(&self, info: u8) -> u8 {
        let packed = Packed { info, info2: 0 };
        match (self.header.abi, packed.pc_type()) {
            (crate::Abi::X86_64, PcType::Mask) => V1_REP_SIZE,
            _ => 0,
        }
    }
}

/// Bytes of the attributes in front of the rows of a version 3 function.
pub(crate) const ATTRIBUTES_LEN: u32 = 5;
