//! What makes a file no bzImage, or one that cannot be started.

use super::fields::Protocol;

/// Why a file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BzImageError {
    /// The file ends too early.
    #[error("the file ends at byte {found_bytes}, its {what} would end at {needed_bytes}")]
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// Where it would end in the file.
        needed_bytes: usize,
        /// Length of the file.
        found_bytes: usize,
    },
    /// The boot sector's signature is not there.
    #[error("no bzImage: {found:#06x} at 0x1fe instead of the boot signature 0xaa55")]
    BootFlag {
        /// What is there.
        found: u16,
    },
    /// The header's magic is not there.
    #[error("no bzImage: {found:#010x} at 0x202 instead of the magic `HdrS`")]
    Magic {
        /// What is there, as a little-endian number.
        found: u32,
    },
    /// A boot protocol before 2.12.
    #[error(
        "boot protocol {found} at 0x206; {minimum} (Linux 3.8) is the oldest that can be started"
    )]
    Protocol {
        /// What the header says.
        found: Protocol,
        /// The oldest one.
        minimum: Protocol,
    },
    /// The header is shorter than its protocol's, or longer than `struct boot_params` has room for.
    #[error("the setup header ends at {end:#x} (by the byte at 0x201), not from 0x264 to 0x290")]
    HeaderEnd {
        /// Where it ends.
        end: usize,
    },
    /// The payload is outside of the code.
    #[error(
        "payload_offset {offset:#x} (at 0x248) and payload_length {length_bytes:#x} (at 0x24c) lead out of the {code_bytes} bytes of code"
    )]
    Payload {
        /// `payload_offset`.
        offset: u32,
        /// `payload_length`.
        length_bytes: u32,
        /// Bytes of the protected-mode code.
        code_bytes: usize,
    },
    /// Less memory is asked for than the code has.
    #[error(
        "init_size {init_size_bytes:#x} (at 0x260) is less than the {code_bytes} bytes of code"
    )]
    InitSize {
        /// `init_size`.
        init_size_bytes: u32,
        /// Bytes of the protected-mode code.
        code_bytes: usize,
    },
    /// No power of two.
    #[error("kernel_alignment {found:#x} (at 0x230) is no power of two")]
    Alignment {
        /// `kernel_alignment`.
        found: u32,
    },
}
