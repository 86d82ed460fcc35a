//! EFI zboot: a kernel that unpacks itself as an EFI program, on arm64 and elsewhere
//! (`drivers/firmware/efi/libstub/zboot-header.S`, v7.3).

use decompress::Format;

use crate::unpack::UnpackError;

/// "MZ", then two bytes, then this.
const MAGIC: &[u8; 4] = b"zimg";
const MAGIC_OFFSET: usize = 4;
const PAYLOAD_OFFSET: usize = 8;
const PAYLOAD_SIZE: usize = 12;
const COMPRESSION_OFFSET: usize = 24;

/// The compressed kernel in a zboot image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zboot<'a> {
    /// The kernel as it is in the file.
    pub payload: &'a [u8],
    /// What it is compressed in.
    pub compression: Format,
}

impl<'a> Zboot<'a> {
    /// Whether a file claims to be one.
    pub fn is_one(file: &[u8]) -> bool {
        let magic = file.get(MAGIC_OFFSET..).and_then(|rest| rest.first_chunk());
        file.starts_with(b"MZ") && magic == Some(MAGIC)
    }

    /// Reads the header.
    ///
    /// # Errors
    /// [`UnpackError::Zboot`]: the payload is not in the file, or is compressed in a way that is not
    /// known.
    pub fn parse(file: &'a [u8]) -> Result<Self, UnpackError> {
        let word = |at: usize| {
            let bytes = file.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let (offset, bytes) = (word(PAYLOAD_OFFSET), word(PAYLOAD_SIZE));
        let start = usize::try_from(offset).ok();
        let length = usize::try_from(bytes).ok();
        let payload = start
            .zip(length)
            .and_then(|(start, length)| file.get(start..start.checked_add(length)?))
            .filter(|payload| !payload.is_empty())
            .ok_or(UnpackError::Zboot { offset, bytes })?;
        let name = file.get(COMPRESSION_OFFSET..).unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let compression = Format::ALL
            .into_iter()
            .find(|format| name.starts_with(format.name().as_bytes()))
            .ok_or(UnpackError::Compression {
                found: name.get(..2).and_then(|found| found.first_chunk()).copied(),
            })?;
        Ok(Self {
            payload,
            compression,
        })
    }
}
