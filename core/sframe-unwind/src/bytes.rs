//! Words out of bytes, in either order; `None` where there are none.

use crate::abi::Endian;

/// Indexes come from 32-bit fields; no supported target has a smaller `usize`.
pub(crate) fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A number that is stored in a fixed count of bytes.
pub(crate) trait Word: Sized {
    /// Reads it from the head of `bytes`.
    fn read(bytes: &[u8], endian: Endian) -> Option<Self>;
}

macro_rules! word {
    ($($type:ty),*) => {$(
        impl Word for $type {
            #[inline]
            fn read(bytes: &[u8], endian: Endian) -> Option<Self> {
                let bytes = *bytes.first_chunk()?;
                Some(match endian {
                    Endian::Little => Self::from_le_bytes(bytes),
                    Endian::Big => Self::from_be_bytes(bytes),
                })
            }
        }
    )*};
}
word!(u8, i8, u16, i16, u32, i32, i64);

/// Reads a word at an offset.
#[inline]
pub(crate) fn read_at<W: Word>(bytes: &[u8], offset: usize, endian: Endian) -> Option<W> {
    W::read(bytes.get(offset..)?, endian)
}
