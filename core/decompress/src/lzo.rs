//! What `lzop` writes: a header, then blocks of LZO1X (`lib/decompress_unlzo.c`, v7.3).

mod block;

use crate::error::Error;
use crate::format::Format;
use crate::stream::Decompressed;

const MAGIC: [u8; 9] = [0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a];
/// From this version on the header has a level and the upper half of a time.
const NEWER_HEADER: u16 = 0x0940;
/// A word on a filter is in the header.
const HAS_FILTER: u32 = 0x0800;
/// `LZO_BLOCK_SIZE`: what a block unpacks to, at most.
const BLOCK_BYTES: usize = 256 << 10;

pub(crate) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Decompressed, Error> {
    let mut input = Input { bytes, at: 0 };
    skip_header(&mut input)?;
    let mut data = Vec::new();
    loop {
        let unpacked = usize::try_from(input.word()?).unwrap_or(usize::MAX);
        if unpacked == 0 {
            break;
        }
        let start = input.at;
        let packed = usize::try_from(input.word()?).unwrap_or(usize::MAX);
        let _checksum = input.word()?;
        if unpacked > BLOCK_BYTES || packed == 0 || packed > unpacked {
            let why = format!("a block of {packed} bytes that unpacks to {unpacked}");
            return Err(damaged(start, why));
        }
        if data.len().saturating_add(unpacked) > limit_bytes {
            return Err(Error::TooLong {
                format: Format::Lzo,
                limit_bytes,
            });
        }
        let block = input.take(packed)?;
        if packed == unpacked {
            data.extend_from_slice(block);
        } else {
            let end = data.len().saturating_add(unpacked);
            block::decompress(block, &mut data, end)
                .map_err(|why| damaged(start, why.to_owned()))?;
        }
    }
    Ok(Decompressed {
        data,
        consumed_bytes: input.at,
    })
}

fn damaged(offset: usize, why: String) -> Error {
    Error::Damaged {
        format: Format::Lzo,
        offset,
        why,
    }
}

fn skip_header(input: &mut Input<'_>) -> Result<(), Error> {
    if input.take(MAGIC.len())? != MAGIC {
        return Err(damaged(0, "its magic number is cut".to_owned()));
    }
    let version = u16::from_be_bytes([input.byte()?, input.byte()?]);
    let is_newer = version >= NEWER_HEADER;
    // Version of the library, version that is needed, method; level.
    input.take(if is_newer { 6 } else { 5 })?;
    if input.word()? & HAS_FILTER != 0 {
        input.word()?;
    }
    // Mode, time; the time's upper half.
    input.take(if is_newer { 12 } else { 8 })?;
    let name = usize::from(input.byte()?);
    // Name, checksum of the header.
    input.take(name.saturating_add(4))?;
    Ok(())
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end).ok_or(Error::Truncated {
            format: Format::Lzo,
            found_bytes: self.bytes.len(),
        })?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn word(&mut self) -> Result<u32, Error> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes(
            bytes.first_chunk().copied().unwrap_or_default(),
        ))
    }
}
