//! The fields of `struct setup_header` that a loader needs, by their offsets in the file.

use core::fmt;

use super::error::BzImageError;
use super::{MINIMUM_PROTOCOL, short};

/// `HdrS`.
const MAGIC: u32 = 0x5372_6448;
const BOOT_FLAG: u16 = 0xaa55;
/// Unit of `setup_sects`.
const SECTOR_BYTES: usize = 512;
/// Unit of `syssize`.
const PARAGRAPH_BYTES: usize = 16;
/// What `setup_sects` of 0 stands for (boot.rst).
const DEFAULT_SETUP_SECTORS: usize = 4;
/// End of the last field that is read: `init_size`. Every kernel of 2.12 has it.
const FIELDS_END: usize = 0x264;
/// The header ends where the jump at 0x200 leads: this, and its displacement at 0x201 (boot.rst,
/// "Details of Header Fields").
const JUMP_END: usize = 0x202;
/// What follows the header in `struct boot_params`: `edd_mbr_sig_buffer`.
const HEADER_LIMIT: usize = 0x290;

/// Version of the boot protocol: major in the high byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [minor, major] = self.0.to_le_bytes();
        write!(f, "{major}.{minor:02}")
    }
}

/// `loadflags`; unknown bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadFlags(pub u8);

impl LoadFlags {
    /// The protected-mode code is loaded at 1 MiB and above.
    pub const LOADED_HIGH: Self = Self(1);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// `xloadflags`; unknown bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XLoadFlags(pub u16);

impl XLoadFlags {
    /// There is a 64-bit entry.
    #[doc(alias = "XLF_KERNEL_64")]
    pub const KERNEL_64: Self = Self(1);
    /// Kernel, `boot_params`, command line and initrd may be above 4 GiB.
    #[doc(alias = "XLF_CAN_BE_LOADED_ABOVE_4G")]
    pub const ABOVE_4G: Self = Self(2);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) protocol: Protocol,
    pub(super) load_flags: LoadFlags,
    pub(super) xload_flags: XLoadFlags,
    pub(super) kernel_version: u16,
    pub(super) initrd_addr_max: u32,
    pub(super) kernel_alignment: u32,
    pub(super) relocatable_kernel: u8,
    pub(super) cmdline_size: u32,
    pub(super) payload_offset: u32,
    pub(super) payload_length: u32,
    pub(super) pref_address: u64,
    pub(super) init_size: u32,
    setup_sects: u8,
    syssize: u32,
    header_end: usize,
}

impl Fields {
    pub(super) fn read(file: &[u8]) -> Result<Self, BzImageError> {
        let u16_at = |offset| Ok::<_, BzImageError>(u16::from_le_bytes(array(file, offset)?));
        let u32_at = |offset| Ok::<_, BzImageError>(u32::from_le_bytes(array(file, offset)?));
        let u8_at = |offset| Ok::<_, BzImageError>(u8::from_le_bytes(array(file, offset)?));
        let found = u16_at(0x1fe)?;
        if found != BOOT_FLAG {
            return Err(BzImageError::BootFlag { found });
        }
        let found = u32_at(0x202)?;
        if found != MAGIC {
            return Err(BzImageError::Magic { found });
        }
        let protocol = Protocol(u16_at(0x206)?);
        if protocol < MINIMUM_PROTOCOL {
            return Err(BzImageError::Protocol {
                found: protocol,
                minimum: MINIMUM_PROTOCOL,
            });
        }
        let jump_displacement = u8_at(0x201)?;
        let end = usize::from(jump_displacement).saturating_add(JUMP_END);
        if !(FIELDS_END..=HEADER_LIMIT).contains(&end) {
            return Err(BzImageError::HeaderEnd { end });
        }
        Ok(Self {
            protocol,
            setup_sects: u8_at(0x1f1)?,
            syssize: u32_at(0x1f4)?,
            header_end: end,
            kernel_version: u16_at(0x20e)?,
            load_flags: LoadFlags(u8_at(0x211)?),
            initrd_addr_max: u32_at(0x22c)?,
            kernel_alignment: u32_at(0x230)?,
            relocatable_kernel: u8_at(0x234)?,
            xload_flags: XLoadFlags(u16_at(0x236)?),
            cmdline_size: u32_at(0x238)?,
            payload_offset: u32_at(0x248)?,
            payload_length: u32_at(0x24c)?,
            pref_address: u64::from_le_bytes(array(file, 0x258)?),
            init_size: u32_at(0x260)?,
        })
    }

    /// End of the setup header in the file.
    pub(super) const fn header_end(&self) -> usize {
        self.header_end
    }

    /// Start of the protected-mode code.
    pub(super) fn protected_mode_offset(&self) -> usize {
        let sectors = match self.setup_sects {
            0 => DEFAULT_SETUP_SECTORS,
            sectors => usize::from(sectors),
        };
        sectors.saturating_add(1).saturating_mul(SECTOR_BYTES)
    }

    /// Least bytes of the protected-mode code; padding and a signature may follow in the file.
    pub(super) fn code_bytes(&self) -> usize {
        usize::try_from(self.syssize)
            .unwrap_or(usize::MAX)
            .saturating_mul(PARAGRAPH_BYTES)
    }
}

/// The bytes of a field.
fn array<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N], BzImageError> {
    file.get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or_else(|| short("setup header", FIELDS_END, file))
}
