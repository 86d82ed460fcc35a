//! Frame rows as they are stored, and what their words mean.

use crate::abi::{Abi, Endian};
use crate::bytes::{Word, index, read_at};
use crate::error::{Malformed, MalformedKind};
use crate::fde::{AddrSize, Fde, FdeKind};
use crate::header::{Header, Version};
use crate::rule::{Base, CfaRule, Recovery, Row, Rules, Unwind};

/// A row as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Fre<'a> {
    /// First byte that it is good for.
    pub start: u32,
    /// The packed fields: base register, count and size of words, signed return address.
    pub info: u8,
    /// The words.
    pub words: Words<'a>,
}

/// Words of a row: up to 15, of 1, 2 or 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    bytes: &'a [u8],
    size: AddrSize,
    endian: Endian,
}

impl Words<'_> {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.len().checked_div(self.size.bytes()).unwrap_or(0)
    }

    /// One of them as an offset.
    #[must_use]
    #[inline]
    pub fn signed(&self, at: usize) -> Option<i32> {
        let bytes = self.bytes.get(at.checked_mul(self.size.bytes())?..)?;
        match self.size {
            AddrSize::One => i8::read(bytes, self.endian).map(i32::from),
            AddrSize::Two => i16::read(bytes, self.endian).map(i32::from),
            AddrSize::Four => i32::read(bytes, self.endian),
        }
    }

    /// One of them as a control word: never sign-extended, so that register 16 is not -16.
    #[must_use]
    #[inline]
    pub fn unsigned(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at.checked_mul(self.size.bytes())?..)?;
        match self.size {
            AddrSize::One => u8::read(bytes, self.endian).map(u32::from),
            AddrSize::Two => u16::read(bytes, self.endian).map(u32::from),
            AddrSize::Four => u32::read(bytes, self.endian),
        }
    }
}

impl Fre<'_> {
    /// Whether the stack pointer is the base of the CFA, and not the frame pointer; default descriptors.
    #[must_use]
    pub const fn is_sp_based(&self) -> bool {
        self.info & 1 != 0
    }

    /// Whether the return address is signed.
    #[must_use]
    pub const fn is_ra_signed(&self) -> bool {
        self.info & 0x80 != 0
    }

    /// What the row says.
    ///
    /// # Errors
    /// What is wrong with its words.
    pub fn decode(&self, header: &Header, kind: FdeKind) -> Result<Row, MalformedKind> {
        let unwind = if self.words.bytes.is_empty() {
            if header.version == Version::V1 {
                return Err(MalformedKind::WordCount(0));
            }
            Unwind::Outermost
        } else {
            Unwind::Caller(match kind {
                FdeKind::Default => self.default_rules(header)?,
                FdeKind::Flexible => self.flexible_rules(header)?,
            })
        };
        Ok(Row {
            start: self.start,
            unwind,
        })
    }

    fn wrong_count(&self) -> MalformedKind {
        MalformedKind::WordCount(u8::try_from(self.words.count()).unwrap_or(u8::MAX))
    }

    #[inline]
    fn default_rules(&self, header: &Header) -> Result<Rules, MalformedKind> {
        let (words, abi) = (&self.words, header.abi);
        if words.count() > abi.most_words() {
            return Err(self.wrong_count());
        }
        let base = if self.is_sp_based() {
            Base::Sp
        } else {
            Base::Fp
        };
        let offset = abi.cfa_offset(words.signed(0).unwrap_or(0));
        let fixed = |offset: i8| match offset {
            0 => Recovery::Unchanged,
            offset => Recovery::Saved(i32::from(offset)),
        };
        let stored = |at: usize| words.signed(at);
        let (ra, fp) = match abi {
            Abi::X86_64 => (None, stored(1)),
            Abi::Aarch64Big | Abi::Aarch64Little => (stored(1), stored(2)),
            // A stored 0 is no offset, but keeps the place of one.
            Abi::S390x => (stored(1).filter(|offset| *offset != 0), stored(2)),
        };
        let recovery = |offset: i32| match (abi, header.version) {
            // Version 2 for s390x: an odd offset is the number of the register that has the value.
            (Abi::S390x, Version::V2) if offset & 1 == 1 => Recovery::Register {
                base: self.base_of(abi, u32::try_from(offset >> 1).unwrap_or(u32::MAX)),
                offset: 0,
            },
            _ => Recovery::Saved(offset),
        };
        Ok(Rules {
            cfa: CfaRule::Offset { base, offset },
            ra: ra.map_or_else(|| fixed(header.fixed_ra_offset), recovery),
            fp: fp.map_or_else(|| fixed(header.fixed_fp_offset), recovery),
            is_ra_signed: self.is_ra_signed(),
        })
    }

    fn flexible_rules(&self, header: &Header) -> Result<Rules, MalformedKind> {
        let mut at = 0;
        let abi = header.abi;
        let cfa = self.control(&mut at)?.ok_or(MalformedKind::CfaControl(0))?;
        if !cfa.has_register {
            return Err(MalformedKind::CfaControl(cfa.word));
        }
        let (base, offset) = (
            self.base_of(abi, cfa.register()),
            abi.cfa_offset(cfa.offset),
        );
        let cfa = if cfa.is_load {
            CfaRule::Load { base, offset }
        } else {
            CfaRule::Offset { base, offset }
        };
        let ra = self.recovery(&mut at, header.fixed_ra_offset, abi)?;
        let fp = self.recovery(&mut at, header.fixed_fp_offset, abi)?;
        if at < self.words.count() {
            return Err(self.wrong_count());
        }
        Ok(Rules {
            cfa,
            ra,
            fp,
            is_ra_signed: self.is_ra_signed(),
        })
    }

    /// The next rule of a flexible row; what the header says when there is none, or only its place.
    fn recovery(&self, at: &mut usize, fixed: i8, abi: Abi) -> Result<Recovery, MalformedKind> {
        let Some(control) = self.control(at)? else {
            return Ok(match fixed {
                0 => Recovery::Unchanged,
                fixed => Recovery::Saved(i32::from(fixed)),
            });
        };
        let offset = control.offset;
        let base = self.base_of(abi, control.register());
        Ok(match (control.has_register, control.is_load) {
            (false, true) => Recovery::Saved(offset),
            (false, false) => Recovery::CfaOffset(offset),
            (true, false) => Recovery::Register { base, offset },
            (true, true) => Recovery::RegisterLoad { base, offset },
        })
    }

    /// A control word with its offset; `None` at the end, and for the word 0, which has none.
    pub(crate) fn control(&self, at: &mut usize) -> Result<Option<Control>, MalformedKind> {
        let Some(word) = self.words.unsigned(*at) else {
            return Ok(None);
        };
        *at = at.saturating_add(1);
        if word == 0 {
            return Ok(None);
        }
        let offset = self.words.signed(*at).ok_or(MalformedKind::Unpaired)?;
        *at = at.saturating_add(1);
        Ok(Some(Control {
            word,
            has_register: word & 1 != 0,
            is_load: word & 2 != 0,
            offset,
        }))
    }

    fn base_of(&self, abi: Abi, register: u32) -> Base {
        match register {
            register if register == abi.sp() => Base::Sp,
            register if register == abi.fp() => Base::Fp,
            register => Base::Register(register),
        }
    }
}

/// A control word of a flexible row with its offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    pub(crate) word: u32,
    pub(crate) has_register: bool,
    pub(crate) is_load: bool,
    pub(crate) offset: i32,
}

impl Control {
    pub(crate) const fn register(&self) -> u32 {
        self.word >> 3
    }
}

/// What a row begins with: its start, and the packed fields.
trait Head {
    /// Bytes of both.
    const SIZE: usize;
    /// Reads them.
    fn read(row: &[u8], endian: Endian) -> Option<(u32, u8)>;
}

struct Head1;
struct Head2;
struct Head4;

impl Head for Head1 {
    const SIZE: usize = 2;
    #[inline]
    fn read(row: &[u8], _endian: Endian) -> Option<(u32, u8)> {
        let [start, info] = *row.first_chunk()?;
        Some((start.into(), info))
    }
}

impl Head for Head2 {
    const SIZE: usize = 3;
    #[inline]
    fn read(row: &[u8], endian: Endian) -> Option<(u32, u8)> {
        let [a, b, info] = *row.first_chunk()?;
        u16::read(&[a, b], endian).map(|start| (start.into(), info))
    }
}

impl Head for Head4 {
    const SIZE: usize = 5;
    #[inline]
    fn read(row: &[u8], endian: Endian) -> Option<(u32, u8)> {
        let [a, b, c, d, info] = *row.first_chunk()?;
        u32::read(&[a, b, c, d], endian).map(|start| (start, info))
    }
}

/// The rows of a function, as they are stored.
#[derive(Clone, Debug)]
pub struct Fres<'a> {
    bytes: &'a [u8],
    offset: usize,
    left: u32,
    fde: Fde,
    endian: Endian,
}

impl<'a> Fres<'a> {
    /// Those of a descriptor, in the area of rows.
    pub(crate) fn new(bytes: &'a [u8], fde: Fde, endian: Endian) -> Self {
        Self {
            bytes,
            offset: index(fde.fre_off),
            left: fde.num_fres,
            fde,
            endian,
        }
    }

    /// Offset of the next row in the area of rows.
    #[must_use]
    pub fn offset(&self) -> u32 {
        u32::try_from(self.offset).unwrap_or(u32::MAX)
    }

    /// The last row that begins at `wanted` or before; `None` when the first begins behind it.
    pub(crate) fn last_before(self, wanted: u32) -> Result<Option<Fre<'a>>, Malformed> {
        match self.fde.addr_size {
            AddrSize::One => self.scan::<Head1>(wanted),
            AddrSize::Two => self.scan::<Head2>(wanted),
            AddrSize::Four => self.scan::<Head4>(wanted),
        }
    }

    /// Reads no more of a row than its start and how long it is: that is what takes time in a long function.
    #[inline]
    fn scan<H: Head>(mut self, wanted: u32) -> Result<Option<Fre<'a>>, Malformed> {
        let mut last = None;
        let mut offset = self.offset;
        let (mut same, mut same_len) = (0, H::SIZE);
        for _ in 0..self.left {
            let head = self
                .bytes
                .get(offset..)
                .and_then(|row| H::read(row, self.endian));
            let Some((start, info)) = head else {
                self.offset = offset;
                return Err(self.outside());
            };
            if start > wanted {
                break;
            }
            last = Some((start, info, offset));
            // Most rows are as long as the one in front: guessing so, the next is read before this one is.
            if info != same {
                same = info;
                same_len = H::SIZE.wrapping_add(usize::from(info >> 1 & 0xf) << (info >> 5 & 3));
            }
            offset = offset.saturating_add(same_len);
        }
        let Some((start, info, offset)) = last else {
            return Ok(None);
        };
        self.offset = offset;
        let (row, _next) = self.row(start, info)?;
        Ok(Some(row))
    }

    fn outside(&self) -> Malformed {
        self.fde.malformed(self.offset(), MalformedKind::RowOutside)
    }

    /// The row at the present offset, and the offset of the next one.
    fn row(&self, start: u32, info: u8) -> Result<(Fre<'a>, usize), Malformed> {
        let size = match info >> 5 & 3 {
            0 => AddrSize::One,
            1 => AddrSize::Two,
            2 => AddrSize::Four,
            _ => return Err(self.fde.malformed(self.offset(), MalformedKind::WordSize)),
        };
        let begin = self
            .offset
            .saturating_add(self.fde.addr_size.bytes())
            .saturating_add(1);
        let count = usize::from(info >> 1 & 0xf);
        let end = begin.saturating_add(count.saturating_mul(size.bytes()));
        let bytes = self.bytes.get(begin..end).ok_or_else(|| self.outside())?;
        let words = Words {
            bytes,
            size,
            endian: self.endian,
        };
        Ok((Fre { start, info, words }, end))
    }

    fn read(&self) -> Result<(Fre<'a>, usize), Malformed> {
        let (bytes, at) = (self.bytes, self.offset);
        let start = match self.fde.addr_size {
            AddrSize::One => read_at::<u8>(bytes, at, self.endian).map(u32::from),
            AddrSize::Two => read_at::<u16>(bytes, at, self.endian).map(u32::from),
            AddrSize::Four => read_at::<u32>(bytes, at, self.endian),
        };
        let info = bytes.get(at.saturating_add(self.fde.addr_size.bytes()));
        let (start, info) = start.zip(info).ok_or_else(|| self.outside())?;
        self.row(start, *info)
    }
}

impl<'a> Iterator for Fres<'a> {
    type Item = Result<Fre<'a>, Malformed>;

    /// The next row. After an error there is none: where the next one begins is not known.
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match self.read() {
            Ok((row, next)) => {
                self.offset = next;
                Some(Ok(row))
            }
            Err(malformed) => {
                self.left = 0;
                Some(Err(malformed))
            }
        }
    }
}
