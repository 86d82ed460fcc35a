//! The bzImage of x86.
//!
//! Layout and field names: `Documentation/arch/x86/boot.rst` and
//! `arch/x86/include/uapi/asm/bootparam.h` (`struct setup_header`), v7.3.
//!
//! ```text
//! 0                     0x1f1            0x202 + [0x201]      (setup_sects + 1) * 512
//! │ boot sector, EFI stub │ setup header   │ real-mode code …   │ protected-mode code, 64-bit entry at +0x200
//! ```

mod error;
mod fields;

pub use error::BzImageError;
pub use fields::{LoadFlags, Protocol, XLoadFlags};

use fields::Fields;

/// Where the setup header starts in the file, and in `struct boot_params`.
pub const SETUP_HEADER_OFFSET: usize = 0x1f1;
/// The 64-bit entry point, from the start of the protected-mode code (boot.rst, "64-bit Boot
/// Protocol").
pub const ENTRY64_OFFSET: u64 = 0x200;
/// Oldest protocol with `xloadflags` (Linux 3.8); an older kernel cannot say that it has a 64-bit
/// entry.
pub const MINIMUM_PROTOCOL: Protocol = Protocol(0x020c);

/// A bzImage whose header was checked.
#[derive(Clone, Copy, Debug)]
pub struct BzImage<'a> {
    setup_header: &'a [u8],
    real_mode: &'a [u8],
    protected_mode: &'a [u8],
    fields: Fields,
}

impl<'a> BzImage<'a> {
    /// Reads the setup header at the start of a file.
    ///
    /// # Errors
    /// [`BzImageError`]: no bzImage, one that is older than [`MINIMUM_PROTOCOL`], or one whose
    /// header names what the file does not have.
    pub fn parse(file: &'a [u8]) -> Result<Self, BzImageError> {
        let fields = Fields::read(file)?;
        let end = fields.header_end();
        let setup_header = file
            .get(SETUP_HEADER_OFFSET..end)
            .ok_or_else(|| short("setup header", end, file))?;
        let split = fields.protected_mode_offset();
        let (real_mode, protected_mode) = file
            .split_at_checked(split)
            .ok_or_else(|| short("real-mode code", split, file))?;
        let code_end = split.saturating_add(fields.code_bytes());
        if file.len() < code_end || protected_mode.is_empty() {
            return Err(short("protected-mode code", code_end, file));
        }
        let image = Self {
            setup_header,
            real_mode,
            protected_mode,
            fields,
        };
        image.checked_payload()?;
        let code_bytes = image.protected_mode.len();
        if usize::try_from(fields.init_size).is_ok_and(|size| size < code_bytes) {
            return Err(BzImageError::InitSize {
                init_size_bytes: fields.init_size,
                code_bytes,
            });
        }
        if !image.alignment().is_power_of_two() {
            return Err(BzImageError::Alignment {
                found: fields.kernel_alignment,
            });
        }
        Ok(image)
    }

    /// The setup header as it goes into `struct boot_params` at [`SETUP_HEADER_OFFSET`]: from
    /// `setup_sects` to the end that the jump instruction's displacement tells.
    pub const fn setup_header(&self) -> &'a [u8] {
        self.setup_header
    }

    /// What is loaded: the protected-mode code. Its 64-bit entry is at [`ENTRY64_OFFSET`].
    pub const fn protected_mode_code(&self) -> &'a [u8] {
        self.protected_mode
    }

    /// The compressed kernel, inside the protected-mode code (`payload_offset`,
    /// `payload_length`); empty in an image that does not tell.
    pub fn payload(&self) -> &'a [u8] {
        self.checked_payload().unwrap_or_default()
    }

    /// Version of the boot protocol.
    pub const fn protocol(&self) -> Protocol {
        self.fields.protocol
    }

    /// The kernel's version string, `7.3.4 (builder@host) #1 ...`, up to its NUL; `None` when the
    /// header names none, or something that is no text.
    pub fn version(&self) -> Option<&'a str> {
        let offset = usize::from(self.fields.kernel_version);
        if offset == 0 {
            return None;
        }
        // The pointer is relative to the second sector (boot.rst, `kernel_version`).
        let text = self.real_mode.get(offset.checked_add(0x200)?..)?;
        let end = text.iter().position(|&byte| byte == 0)?;
        core::str::from_utf8(text.get(..end)?).ok()
    }

    /// The release in the version string: its first word, as `uname -r` will print it.
    pub fn release(&self) -> Option<&'a str> {
        self.version()?.split(' ').next()
    }

    /// `loadflags`.
    pub const fn load_flags(&self) -> LoadFlags {
        self.fields.load_flags
    }

    /// `xloadflags`.
    pub const fn xload_flags(&self) -> XLoadFlags {
        self.fields.xload_flags
    }

    /// Whether it may be loaded elsewhere than at [`preferred_address`](Self::preferred_address).
    pub const fn is_relocatable(&self) -> bool {
        self.fields.relocatable_kernel != 0
    }

    /// `pref_address`: where it would like to be loaded.
    pub const fn preferred_address(&self) -> u64 {
        self.fields.pref_address
    }

    /// `kernel_alignment` in bytes: a power of two, to which the load address is aligned.
    pub fn alignment(&self) -> u64 {
        u64::from(self.fields.kernel_alignment)
    }

    /// `init_size`: bytes from the load address that must be free, because the kernel unpacks
    /// itself there.
    pub fn needed_bytes(&self) -> u64 {
        u64::from(self.fields.init_size)
    }

    /// `initrd_addr_max`: the highest address a byte of the initrd may have, unless
    /// [`XLoadFlags::ABOVE_4G`] is set.
    pub fn initrd_max_address(&self) -> u64 {
        u64::from(self.fields.initrd_addr_max)
    }

    /// `cmdline_size`: bytes of the longest command line, without its NUL.
    pub fn command_line_max_bytes(&self) -> u64 {
        u64::from(self.fields.cmdline_size)
    }

    fn checked_payload(&self) -> Result<&'a [u8], BzImageError> {
        let Fields {
            payload_offset,
            payload_length,
            ..
        } = self.fields;
        let start = usize::try_from(payload_offset).ok();
        let end = payload_offset
            .checked_add(payload_length)
            .and_then(|end| usize::try_from(end).ok());
        start
            .zip(end)
            .and_then(|(start, end)| self.protected_mode.get(start..end))
            .ok_or(BzImageError::Payload {
                offset: payload_offset,
                length_bytes: payload_length,
                code_bytes: self.protected_mode.len(),
            })
    }
}

fn short(what: &'static str, needed_bytes: usize, file: &[u8]) -> BzImageError {
    BzImageError::Truncated {
        what,
        needed_bytes,
        found_bytes: file.len(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
