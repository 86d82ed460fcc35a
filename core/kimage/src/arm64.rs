//! The Image of arm64: not compressed, with a header that is also the start of an EFI program
//! (`Documentation/arch/arm64/booting.rst`, v7.3).

/// What the header starts with at [`MAGIC_OFFSET`].
const MAGIC: &[u8; 4] = b"ARM\x64";
const MAGIC_OFFSET: usize = 56;
const IMAGE_SIZE_OFFSET: usize = 16;
const FLAGS_OFFSET: usize = 24;

/// The header of an Image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm64Image {
    /// Bytes the kernel takes in memory, `image_size`; 0 in a kernel before 3.17, which
    /// `kexec_file_load` refuses (`arch/arm64/kernel/kexec_image.c`, v7.3).
    pub image_bytes: u64,
    /// `flags`: bit 0 big endian, bits 1 and 2 the size of pages.
    pub flags: u64,
}

impl Arm64Image {
    /// Reads the header; `None` of what is no Image.
    pub fn parse(file: &[u8]) -> Option<Self> {
        if file.get(MAGIC_OFFSET..)?.first_chunk()? != MAGIC {
            return None;
        }
        let word = |at: usize| Some(u64::from_le_bytes(*file.get(at..)?.first_chunk()?));
        Some(Self {
            image_bytes: word(IMAGE_SIZE_OFFSET)?,
            flags: word(FLAGS_OFFSET)?,
        })
    }

    /// Bytes of a page: 4, 16 or 64 KiB; `None` when the header does not tell.
    pub const fn page_bytes(self) -> Option<u64> {
        match (self.flags >> 1) & 3 {
            1 => Some(4 << 10),
            2 => Some(16 << 10),
            3 => Some(64 << 10),
            _ => None,
        }
    }
}
