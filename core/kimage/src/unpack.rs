//! Gets at the kernel itself, whatever it is packed in.

use alloc::borrow::Cow;
use core::fmt;

use decompress::{Error, Format, decompress};

use crate::arm64::Arm64Image;
use crate::bzimage::{BzImage, BzImageError};
use crate::zboot::Zboot;

/// Most bytes a kernel may unpack to: far more than any, and little enough to try.
const MAX_BYTES: usize = 512 << 20;
/// What is behind the payload of a bzImage but is not compressed: the length of what it unpacks to
/// (`cmd_file_size` in `scripts/Makefile.lib`, v7.3). A file of gzip ends with it by itself.
const LENGTH_BYTES: usize = 4;

/// What a kernel file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// A bzImage of x86.
    BzImage,
    /// An Image of arm64.
    Arm64Image,
    /// An Image of arm64, compressed as a whole: `Image.gz`.
    CompressedImage,
    /// An EFI program that unpacks the kernel.
    Zboot,
    /// The kernel as it was linked.
    Elf,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BzImage => "bzImage",
            Self::Arm64Image => "arm64 Image",
            Self::CompressedImage => "compressed arm64 Image",
            Self::Zboot => "EFI zboot image",
            Self::Elf => "vmlinux",
        })
    }
}

/// A kernel as it will be in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked<'a> {
    /// What the file is.
    pub packing: Packing,
    /// What the kernel is compressed in there.
    pub compression: Option<Format>,
    /// The kernel: the ELF file of x86, the Image of arm64.
    pub kernel: Cow<'a, [u8]>,
}

/// Why a kernel cannot be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Nothing in it.
    #[error("an empty file")]
    Empty,
    /// No kernel that is known here.
    #[error("no bzImage, arm64 Image, EFI zboot image or vmlinux")]
    Unknown,
    /// A bzImage with a damaged header.
    #[error(transparent)]
    BzImage(#[from] BzImageError),
    /// The header of a zboot image names what is not there.
    #[error("the zboot header names {bytes} bytes at {offset:#x}, which are not in the file")]
    Zboot {
        /// Where they would start.
        offset: u32,
        /// How many.
        bytes: u32,
    },
    /// The kernel inside is compressed in a way that is not known.
    #[error("the kernel inside is compressed in an unknown way: it starts with {found:02x?}")]
    Compression {
        /// What it starts with.
        found: Option<[u8; 2]>,
    },
    /// The kernel inside cannot be unpacked.
    #[error(transparent)]
    Decompress(#[from] Error),
}

/// The kernel in a file.
///
/// # Errors
/// [`UnpackError`].
pub fn unpack(file: &[u8]) -> Result<Unpacked<'_>, UnpackError> {
    if file.is_empty() {
        return Err(UnpackError::Empty);
    }
    let plain = |packing| Unpacked {
        packing,
        compression: None,
        kernel: Cow::Borrowed(file),
    };
    let is_bzimage = matches!(file.get(0x202..), Some([b'H', b'd', b'r', b'S', ..]));
    if is_bzimage {
        return bzimage(&BzImage::parse(file)?);
    }
    if Zboot::is_one(file) {
        let zboot = Zboot::parse(file)?;
        return compressed(Packing::Zboot, zboot.compression, zboot.payload);
    }
    if Arm64Image::parse(file).is_some() {
        return Ok(plain(Packing::Arm64Image));
    }
    if file.starts_with(b"\x7fELF") {
        return Ok(plain(Packing::Elf));
    }
    let format = Format::of(file).ok_or(UnpackError::Unknown)?;
    let unpacked = compressed(Packing::CompressedImage, format, file)?;
    match Arm64Image::parse(&unpacked.kernel) {
        Some(_) => Ok(unpacked),
        None => Err(UnpackError::Unknown),
    }
}

fn bzimage<'a>(image: &BzImage<'a>) -> Result<Unpacked<'a>, UnpackError> {
    let payload = image.payload();
    let Some(format) = Format::of(payload) else {
        // CONFIG_KERNEL_UNCOMPRESSED.
        if payload.starts_with(b"\x7fELF") {
            return Ok(Unpacked {
                packing: Packing::BzImage,
                compression: None,
                kernel: Cow::Borrowed(payload),
            });
        }
        let found = payload.first_chunk().copied();
        return Err(UnpackError::Compression { found });
    };
    let stream = match format {
        Format::Gzip => Some(payload),
        _ => payload
            .len()
            .checked_sub(LENGTH_BYTES)
            .and_then(|length| payload.get(..length)),
    };
    compressed(Packing::BzImage, format, stream.unwrap_or_default())
}

fn compressed<'a>(
    packing: Packing,
    format: Format,
    stream: &[u8],
) -> Result<Unpacked<'a>, UnpackError> {
    let kernel = decompress(format, stream, MAX_BYTES)?.data;
    Ok(Unpacked {
        packing,
        compression: Some(format),
        kernel: Cow::Owned(kernel),
    })
}
