//! Functions as bytes.

use alloc::vec::Vec;

use super::{Draft, Format, Function, Starts, Unrepresentable, Why};
use crate::abi::{Abi, Endian, S390X_CFA_BIAS};
use crate::fde::{AddrSize, FdeKind, PauthKey, PcType};
use crate::header::{HEADER_LEN, MAGIC, Version};
use crate::rule::{Base, CfaRule, Recovery, Row, Rules, Unwind};

/// Bytes in an order.
struct Bytes {
    bytes: Vec<u8>,
    endian: Endian,
}

macro_rules! put {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(&mut self, value: $type) {
            match self.endian {
                Endian::Little => self.bytes.extend(value.to_le_bytes()),
                Endian::Big => self.bytes.extend(value.to_be_bytes()),
            }
        }
    )*};
}

impl Bytes {
    const fn new(endian: Endian) -> Self {
        Self {
            bytes: Vec::new(),
            endian,
        }
    }

    put!(u8: u8, u16: u16, u32: u32, i32: i32, i64: i64);

    /// The low bytes of a number that is known to fit.
    fn sized(&mut self, size: AddrSize, value: u32) {
        let [low, second, ..] = value.to_le_bytes();
        match size {
            AddrSize::One => self.u8(low),
            AddrSize::Two => self.u16(u16::from_le_bytes([low, second])),
            AddrSize::Four => self.u32(value),
        }
    }

    /// Its length as an offset.
    fn len(&self) -> Result<u32, Why> {
        length(self.bytes.len())
    }
}

fn length(len: usize) -> Result<u32, Why> {
    u32::try_from(len).map_err(|_large| Why::TooLarge)
}

/// What all functions of a section share.
struct Context<'a> {
    draft: &'a Draft,
    format: &'a Format,
}

pub(super) fn section(draft: &Draft, format: &Format) -> Result<Vec<u8>, Unrepresentable> {
    let (version, abi) = (format.version, draft.abi);
    if version == Version::V1 {
        if format.starts == Starts::Field {
            return Err(Unrepresentable::of_section(Why::Starts));
        }
        if abi == Abi::S390x {
            return Err(Unrepresentable::of_section(Why::Abi(version, abi)));
        }
    }
    let context = Context { draft, format };
    let endian = abi.endian();
    let (mut fdes, mut fres) = (Bytes::new(endian), Bytes::new(endian));
    let mut num_fres = 0_usize;
    for function in &draft.functions {
        context
            .put_function(function, &mut fdes, &mut fres)
            .map_err(|why| Unrepresentable::of(function, why))?;
        num_fres = num_fres.saturating_add(function.rows.len());
    }
    let lengths = [
        draft.functions.len(),
        num_fres,
        fres.bytes.len(),
        fdes.bytes.len(),
    ];
    let lengths = lengths.map(length);
    let [Ok(num_fdes), Ok(num_fres), Ok(fre_len), Ok(freoff)] = lengths else {
        return Err(Unrepresentable::of_section(Why::TooLarge));
    };
    let mut all = Bytes::new(endian);
    all.u16(MAGIC);
    all.u8(version.raw());
    all.u8(draft.flags(format).0);
    all.u8(abi.raw());
    all.u8(0);
    all.u8(abi.fixed_ra_offset().cast_unsigned());
    all.u8(0);
    all.u32(num_fdes);
    all.u32(num_fres);
    all.u32(fre_len);
    all.u32(0);
    all.u32(freoff);
    all.bytes.extend(fdes.bytes);
    all.bytes.extend(fres.bytes);
    Ok(all.bytes)
}

impl Context<'_> {
    fn put_function(
        &self,
        function: &Function,
        fdes: &mut Bytes,
        fres: &mut Bytes,
    ) -> Result<(), Why> {
        let (fre_off, num_fres) = (fres.len()?, length(function.rows.len())?);
        let field = u64::try_from(fdes.bytes.len().saturating_add(HEADER_LEN));
        let field = field.unwrap_or(u64::MAX);
        let version = self.format.version;
        let addr_size = addr_size(function.size);
        let kind = self.kind(function)?;
        let from = match self.format.starts {
            Starts::Section => self.format.section_addr,
            Starts::Field => self.format.section_addr.wrapping_add(field),
        };
        let distance = function.start.wrapping_sub(from).cast_signed();
        let info = info(function, addr_size, version)?;
        match version {
            Version::V1 | Version::V2 => {
                fdes.i32(i32::try_from(distance).map_err(|_far| Why::TooFar(distance))?);
                fdes.u32(function.size);
                fdes.u32(fre_off);
                fdes.u32(num_fres);
                fdes.u8(info);
                if version == Version::V2 {
                    fdes.u8(function.rep_size);
                    fdes.u16(0);
                }
            }
            Version::V3 => {
                fdes.i64(distance);
                fdes.u32(function.size);
                fdes.u32(fre_off);
                let rows = function.rows.len();
                fres.u16(u16::try_from(rows).map_err(|_many| Why::TooManyRows(rows))?);
                fres.u8(info);
                fres.u8(u8::from(kind == FdeKind::Flexible));
                fres.u8(function.rep_size);
            }
        }
        for row in &function.rows {
            self.put_row(row, addr_size, kind, fres)?;
        }
        Ok(())
    }

    /// Flexible if a row needs it, or it was so.
    fn kind(&self, function: &Function) -> Result<FdeKind, Why> {
        let abi = self.draft.abi;
        let version = self.format.version;
        let needs = function.rows.iter().find(|row| match &row.unwind {
            Unwind::Outermost => false,
            Unwind::Caller(rules) => default_words(abi, version, rules).is_none(),
        });
        match (needs, version) {
            (None, Version::V1 | Version::V2) => Ok(FdeKind::Default),
            (None, Version::V3) => Ok(function.kind),
            (Some(_), Version::V3) => Ok(FdeKind::Flexible),
            (Some(row), _) => Err(Why::Flexible(row.start)),
        }
    }

    fn put_row(
        &self,
        row: &Row,
        addr_size: AddrSize,
        kind: FdeKind,
        fres: &mut Bytes,
    ) -> Result<(), Why> {
        let abi = self.draft.abi;
        if addr_size < self::addr_size(row.start) {
            return Err(Why::RowStart(row.start));
        }
        fres.sized(addr_size, row.start);
        let rules = match &row.unwind {
            Unwind::Outermost if self.format.version == Version::V1 => return Err(Why::Outermost),
            Unwind::Outermost => {
                fres.u8(0);
                return Ok(());
            }
            Unwind::Caller(rules) => rules,
        };
        let words = match kind {
            FdeKind::Default => default_words(abi, self.format.version, rules),
            FdeKind::Flexible => flexible_words(abi, rules),
        };
        let mut words = words.ok_or(Why::Rule(row.start))?;
        scale_cfa(abi, kind, &mut words, row.start)?;
        let size = words.size();
        let size_code = match size {
            AddrSize::One => 0,
            AddrSize::Two => 1_u8,
            AddrSize::Four => 2,
        };
        // The base of a flexible row is in its control word.
        let is_sp_based =
            matches!(rules.cfa, CfaRule::Offset { base: Base::Sp, .. }) && kind == FdeKind::Default;
        let info = u8::from(is_sp_based)
            | words.count().wrapping_shl(1)
            | size_code << 5
            | u8::from(rules.is_ra_signed) << 7;
        fres.u8(info);
        for word in words.iter() {
            fres.sized(size, word.bits());
        }
        Ok(())
    }
}

fn addr_size(last: u32) -> AddrSize {
    match last {
        0..=0xff => AddrSize::One,
        0x100..=0xffff => AddrSize::Two,
        _ => AddrSize::Four,
    }
}

fn info(function: &Function, addr_size: AddrSize, version: Version) -> Result<u8, Why> {
    let mut info = match addr_size {
        AddrSize::One => 0,
        AddrSize::Two => 1,
        AddrSize::Four => 2,
    };
    if function.pc_type == PcType::Mask {
        info |= 0x10;
        if version == Version::V1 && function.rep_size != crate::section::V1_REP_SIZE {
            return Err(Why::RepSize(function.rep_size));
        }
    }
    if function.key == PauthKey::B {
        info |= 0x20;
    }
    if function.is_signal_frame {
        if version != Version::V3 {
            return Err(Why::SignalFrame);
        }
        info |= 0x80;
    }
    Ok(info)
}

/// A word of a row.
#[derive(Clone, Copy)]
enum Word {
    Offset(i32),
    Control(u32),
}

impl Word {
    const fn bits(self) -> u32 {
        match self {
            Self::Offset(offset) => offset.cast_unsigned(),
            Self::Control(control) => control,
        }
    }

    fn size(self) -> AddrSize {
        match self {
            Self::Offset(offset) if i8::try_from(offset).is_ok() => AddrSize::One,
            Self::Offset(offset) if i16::try_from(offset).is_ok() => AddrSize::Two,
            Self::Offset(_) => AddrSize::Four,
            Self::Control(control) => addr_size(control),
        }
    }
}

/// Words of a row: at most three pairs.
#[derive(Clone, Copy, Default)]
struct RowWords {
    words: [Option<Word>; 6],
}

impl RowWords {
    fn push(&mut self, word: Word) {
        if let Some(place) = self.words.iter_mut().find(|place| place.is_none()) {
            *place = Some(word);
        }
    }

    fn iter(&self) -> impl Iterator<Item = Word> {
        self.words.iter().copied().flatten()
    }

    fn count(&self) -> u8 {
        u8::try_from(self.iter().count()).unwrap_or(0)
    }

    fn size(&self) -> AddrSize {
        self.iter().map(Word::size).max().unwrap_or(AddrSize::One)
    }
}

/// `None` when a default descriptor cannot say it.
fn default_words(abi: Abi, version: Version, rules: &Rules) -> Option<RowWords> {
    let CfaRule::Offset {
        base: Base::Sp | Base::Fp,
        offset,
    } = rules.cfa
    else {
        return None;
    };
    let stored = |recovery: Recovery| match recovery {
        Recovery::Unchanged => Some(None),
        // An odd offset would be read as the number of a register.
        Recovery::Saved(offset)
            if abi == Abi::S390x && version == Version::V2 && offset & 1 == 1 =>
        {
            None
        }
        Recovery::Saved(offset) => Some(Some(offset)),
        Recovery::Register { base, offset: 0 } if abi == Abi::S390x && version == Version::V2 => {
            let number = register(abi, base);
            i32::try_from(number.checked_mul(2)?.checked_add(1)?)
                .ok()
                .map(Some)
        }
        _ => None,
    };
    let (ra, fp) = (stored(rules.ra)?, stored(rules.fp)?);
    let mut words = RowWords::default();
    words.push(Word::Offset(offset));
    match (abi, ra, fp) {
        (Abi::X86_64, Some(ra), fp) if ra == i32::from(abi.fixed_ra_offset()) => {
            fp.into_iter().for_each(|fp| words.push(Word::Offset(fp)));
        }
        (Abi::X86_64, ..) => return None,
        (_, None, None) => {}
        (Abi::S390x, None, Some(fp)) => {
            words.push(Word::Offset(0));
            words.push(Word::Offset(fp));
        }
        (_, None, Some(_)) => return None,
        (Abi::S390x, Some(0), _) => return None,
        (_, Some(ra), fp) => {
            words.push(Word::Offset(ra));
            fp.into_iter().for_each(|fp| words.push(Word::Offset(fp)));
        }
    }
    Some(words)
}

/// `None` when a flexible descriptor cannot say it either.
fn flexible_words(abi: Abi, rules: &Rules) -> Option<RowWords> {
    let mut words = RowWords::default();
    let (base, offset, load) = match rules.cfa {
        CfaRule::Offset { base, offset } => (base, offset, 0),
        CfaRule::Load { base, offset } => (base, offset, 2),
    };
    words.push(Word::Control(
        register(abi, base).checked_mul(8)? | 1 | load,
    ));
    words.push(Word::Offset(offset));
    let fixed = match abi.fixed_ra_offset() {
        0 => Recovery::Unchanged,
        offset => Recovery::Saved(offset.into()),
    };
    let (has_ra, has_fp) = (rules.ra != fixed, rules.fp != Recovery::Unchanged);
    for (recovery, has, is_followed) in [(rules.ra, has_ra, has_fp), (rules.fp, has_fp, false)] {
        let (control, offset) = match recovery {
            _ if !has && is_followed => {
                words.push(Word::Control(0));
                continue;
            }
            _ if !has => continue,
            Recovery::Unchanged | Recovery::CfaOffset(0) => return None,
            Recovery::Saved(offset) => (2, offset),
            // Control word 0 is that of no rule: a value without register and load cannot be said.
            Recovery::CfaOffset(_) => return None,
            Recovery::Register { base, offset } => {
                (register(abi, base).checked_mul(8)? | 1, offset)
            }
            Recovery::RegisterLoad { base, offset } => {
                (register(abi, base).checked_mul(8)? | 3, offset)
            }
        };
        words.push(Word::Control(control));
        words.push(Word::Offset(offset));
    }
    Some(words)
}

fn register(abi: Abi, base: Base) -> u32 {
    match base {
        Base::Sp => abi.sp(),
        Base::Fp => abi.fp(),
        Base::Register(number) => number,
    }
}

/// s390x stores `(offset - 160) / 8`.
fn scale_cfa(abi: Abi, kind: FdeKind, words: &mut RowWords, row: u32) -> Result<(), Why> {
    if abi != Abi::S390x {
        return Ok(());
    }
    let at = match kind {
        FdeKind::Default => 0,
        FdeKind::Flexible => 1,
    };
    if let Some(Some(Word::Offset(offset))) = words.words.get_mut(at) {
        let biased = offset.wrapping_sub(S390X_CFA_BIAS);
        if biased.checked_rem(8) != Some(0) {
            return Err(Why::CfaScale(row, *offset));
        }
        *offset = biased.checked_div(8).unwrap_or(0);
    }
    Ok(())
}
