//! Which form something is compressed in.

use std::fmt;

/// A compressed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `gzip`.
    Gzip,
    /// `bzip2`.
    Bzip2,
    /// `lzma`, the form before `xz`.
    Lzma,
    /// `xz`.
    Xz,
    /// `lzop`.
    Lzo,
    /// `lz4 -l`.
    Lz4,
    /// `zstd`.
    Zstd,
}

/// `compressed_formats[]` (`lib/decompress.c`, v7.3): two bytes decide.
const MAGIC: [([u8; 2], Format); 8] = [
    ([0x1f, 0x8b], Format::Gzip),
    ([0x1f, 0x9e], Format::Gzip),
    ([0x42, 0x5a], Format::Bzip2),
    ([0x5d, 0x00], Format::Lzma),
    ([0xfd, 0x37], Format::Xz),
    ([0x89, 0x4c], Format::Lzo),
    ([0x02, 0x21], Format::Lz4),
    ([0x28, 0xb5], Format::Zstd),
];

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Gzip,
        Self::Bzip2,
        Self::Lzma,
        Self::Xz,
        Self::Lzo,
        Self::Lz4,
        Self::Zstd,
    ];

    /// The form of what starts so, as the kernel takes it: it may be none for all that.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let start = bytes.first_chunk()?;
        MAGIC
            .iter()
            .find(|(magic, _)| magic == start)
            .map(|(_, format)| *format)
    }

    /// Its name, as of the option of the kernel: `gzip`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzo => "lzo",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The option without which a kernel does not unpack an initramfs of this form
    /// (`usr/Kconfig`, v7.3).
    pub const fn initramfs_option(self) -> &'static str {
        match self {
            Self::Gzip => "CONFIG_RD_GZIP",
            Self::Bzip2 => "CONFIG_RD_BZIP2",
            Self::Lzma => "CONFIG_RD_LZMA",
            Self::Xz => "CONFIG_RD_XZ",
            Self::Lzo => "CONFIG_RD_LZO",
            Self::Lz4 => "CONFIG_RD_LZ4",
            Self::Zstd => "CONFIG_RD_ZSTD",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
