//! The text of `objdump --sframe`.

use core::fmt;

use crate::abi::Abi;
use crate::error::Malformed;
use crate::fde::{Fde, FdeKind, PauthKey, PcType};
use crate::fre::{Control, Fre};
use crate::header::{Flags, Header, Version};
use crate::section::Section;

/// Displays a section byte for byte as `objdump --sframe` does, from its line "Contents of" on: versions 2 and 3
/// as that of binutils 2.47.50, version 1 as that of 2.40, the only ones that read it. What objdump reads past
/// is one line in parentheses.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    section: &'a Section<'a>,
    name: &'a str,
}

impl<'a> Dump<'a> {
    /// Of a section with its name in the file.
    #[must_use]
    pub const fn new(section: &'a Section<'a>, name: &'a str) -> Self {
        Self { section, name }
    }
}

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Contents of the SFrame section {}:", self.name)?;
        write_header(f, self.section.header())?;
        writeln!(f, "  Function Index :")?;
        for (at, fde) in self.section.fdes_with_rows().enumerate() {
            match fde {
                Ok(fde) => write_fde(f, self.section, &fde, at)?,
                Err(malformed) => writeln!(f, "\n    ({malformed})")?,
            }
        }
        Ok(())
    }
}

fn write_header(f: &mut fmt::Formatter<'_>, header: &Header) -> fmt::Result {
    writeln!(f, "  Header :\n")?;
    writeln!(f, "    Version: SFRAME_VERSION_{}", header.version.raw())?;
    write!(f, "    Flags: ")?;
    let names = [
        (Flags::SORTED, "SFRAME_F_FDE_SORTED"),
        (Flags::FRAME_POINTER, "SFRAME_F_FRAME_POINTER"),
        (Flags::PCREL, "SFRAME_F_FDE_FUNC_START_PCREL"),
    ];
    let mut between = "";
    for (flag, name) in names {
        if header.flags.contains(flag) {
            write!(f, "{between}{name}")?;
            between = ",\n           ";
        }
    }
    writeln!(f, "{}", if between.is_empty() { "NONE" } else { "" })?;
    if header.version > Version::V1 {
        if header.fixed_fp_offset != 0 {
            writeln!(f, "    CFA fixed FP offset: {}", header.fixed_fp_offset)?;
        }
        if header.fixed_ra_offset != 0 {
            writeln!(f, "    CFA fixed RA offset: {}", header.fixed_ra_offset)?;
        }
    }
    writeln!(f, "    Num FDEs: {}", header.num_fdes)?;
    writeln!(f, "    Num FREs: {}\n", header.num_fres)
}

fn write_fde(
    f: &mut fmt::Formatter<'_>,
    section: &Section<'_>,
    fde: &Fde,
    at: usize,
) -> fmt::Result {
    let header = section.header();
    write!(
        f,
        "\n    func idx [{at}]: pc = {:#x}, size = {} bytes",
        fde.start, fde.size
    )?;
    if header.abi.is_aarch64() && fde.key == PauthKey::B {
        write!(f, ", pauth = B key")?;
    }
    match (fde.is_signal_frame, fde.kind) {
        (false, FdeKind::Default) => {}
        (true, FdeKind::Default) => write!(f, ", attr = \"S\"")?,
        (false, FdeKind::Flexible) => write!(f, ", attr = \"F\"")?,
        (true, FdeKind::Flexible) => write!(f, ", attr = \"SF\"")?,
    }
    let (title, base) = match fde.pc_type {
        PcType::Inc => ("STARTPC   ", fde.start),
        PcType::Mask => ("STARTPC[m]", 0),
    };
    writeln!(f, "\n    {title}      CFA       FP        RA           ")?;
    let mut fres = section.fres(fde);
    let mut offset = fres.offset();
    while let Some(fre) = fres.next() {
        match fre {
            Ok(fre) => write_fre(f, header, fde, &fre, base, offset)?,
            Err(malformed) => writeln!(f, "    ({malformed})")?,
        }
        offset = fres.offset();
    }
    Ok(())
}

fn write_fre(
    f: &mut fmt::Formatter<'_>,
    header: &Header,
    fde: &Fde,
    fre: &Fre<'_>,
    base: u64,
    offset: u32,
) -> fmt::Result {
    write!(f, "    {:016x}", base.wrapping_add(u64::from(fre.start)))?;
    if fre.words.count() == 0 && header.version > Version::V1 {
        return writeln!(f, "  RA undefined");
    }
    if let Err(kind) = fre.decode(header, fde.kind) {
        let malformed = Malformed {
            fde: fde.index,
            offset,
            kind,
        };
        return writeln!(f, "  ({malformed})");
    }
    let mut cells = [Cell::default(), Cell::default(), Cell::default()];
    let [cfa, fp, ra] = &mut cells;
    match fde.kind {
        FdeKind::Default => default_cells(header, fre, cfa, fp, ra)?,
        FdeKind::Flexible => flexible_cells(header, fre, cfa, fp, ra)?,
    }
    if fre.is_ra_signed() {
        fmt::Write::write_str(ra, "[s]")?;
    }
    let [cfa, fp, ra] = cells.each_ref().map(Cell::text);
    writeln!(f, "  {cfa:<10}{fp:<10}{ra:<13}")
}

fn default_cells(
    header: &Header,
    fre: &Fre<'_>,
    cfa: &mut Cell,
    fp: &mut Cell,
    ra: &mut Cell,
) -> fmt::Result {
    use fmt::Write as _;
    let base = if fre.is_sp_based() { "sp" } else { "fp" };
    let offset = header.abi.cfa_offset(fre.words.signed(0).unwrap_or(0));
    write!(cfa, "{base}{offset:+}")?;
    let (ra_offset, fp_offset) = match header.abi {
        Abi::X86_64 => (None, fre.words.signed(1)),
        _ => (fre.words.signed(1), fre.words.signed(2)),
    };
    match ra_offset {
        Some(0) if header.abi == Abi::S390x => ra.write_str("U")?,
        Some(offset) => saved(header, ra, offset)?,
        // 2.40, the only objdump for version 1, does not know the fixed offset.
        None if header.fixed_ra_offset != 0 && header.version > Version::V1 => ra.write_str("f")?,
        None => ra.write_str("u")?,
    }
    match fp_offset {
        Some(offset) => saved(header, fp, offset),
        None if header.fixed_fp_offset != 0 && header.version > Version::V1 => fp.write_str("f"),
        None => fp.write_str("u"),
    }
}

fn saved(header: &Header, cell: &mut Cell, offset: i32) -> fmt::Result {
    use fmt::Write as _;
    if header.abi == Abi::S390x && header.version == Version::V2 && offset & 1 == 1 {
        return write!(cell, "r{}", offset >> 1);
    }
    write!(cell, "c{offset:+}")
}

fn flexible_cells(
    header: &Header,
    fre: &Fre<'_>,
    cfa: &mut Cell,
    fp: &mut Cell,
    ra: &mut Cell,
) -> fmt::Result {
    use fmt::Write as _;
    let mut at = 0;
    let mut next = || {
        let is_there = at < fre.words.count();
        // The row has been decoded: its control words have offsets.
        let control = fre.control(&mut at).ok().flatten();
        is_there.then_some(control)
    };
    if let Some(Some(mut control)) = next() {
        control.offset = header.abi.cfa_offset(control.offset);
        write_control(cfa, header.abi, &control)?;
    }
    for (cell, fixed) in [(ra, header.fixed_ra_offset), (fp, header.fixed_fp_offset)] {
        match next() {
            Some(Some(control)) => write_control(cell, header.abi, &control)?,
            Some(None) => cell.write_str("U")?,
            None if fixed != 0 => cell.write_str("f")?,
            None => cell.write_str("u")?,
        }
    }
    Ok(())
}

fn write_control(cell: &mut Cell, abi: Abi, control: &Control) -> fmt::Result {
    use fmt::Write as _;
    if control.is_load && control.has_register {
        cell.write_str("(")?;
    }
    match control.register() {
        _ if !control.has_register => cell.write_str("c")?,
        register if register == abi.sp() => cell.write_str("sp")?,
        register if register == abi.fp() => cell.write_str("fp")?,
        register => write!(cell, "r{register}")?,
    }
    write!(cell, "{:+}", control.offset)?;
    if control.is_load && control.has_register {
        cell.write_str(")")?;
    }
    Ok(())
}

/// Text of a column: at most a register and an offset, so that nothing is allocated.
#[derive(Clone, Copy, Default)]
struct Cell {
    bytes: [u8; 32],
    len: usize,
}

impl Cell {
    fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(bytes).unwrap_or("")
    }
}

impl fmt::Write for Cell {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
