//! The old frame of lz4: a magic number, then blocks with their lengths, and no end
//! (`lib/decompress_unlz4.c`, v7.3).

use crate::error::Error;
use crate::format::Format;
use crate::stream::Decompressed;

/// `ARCHIVE_MAGICNUMBER`.
const MAGIC: u32 = 0x184c_2102;
/// `LZ4_DEFAULT_UNCOMPRESSED_CHUNK_SIZE`: what a block unpacks to, at most.
const BLOCK_BYTES: usize = 8 << 20;
const FORMAT: Format = Format::Lz4;

pub(crate) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Decompressed, Error> {
    let mut data = Vec::new();
    let mut block = Vec::new();
    let mut consumed_bytes: usize = 0;
    // "invalid header"; two bytes of it made it lz4.
    if word(bytes, 0).is_some_and(|word| word != MAGIC) {
        return Err(Error::Damaged {
            format: FORMAT,
            offset: 0,
            why: "its magic number is another one".to_owned(),
        });
    }
    if bytes.len() < 4 {
        return Err(Error::Truncated {
            format: FORMAT,
            found_bytes: bytes.len(),
        });
    }
    while let Some(length) = word(bytes, consumed_bytes) {
        let start = consumed_bytes.saturating_add(4);
        if length == MAGIC {
            consumed_bytes = start;
            continue;
        }
        // Padding: what follows is something else.
        if length == 0 {
            break;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let end = start.saturating_add(length);
        let Some(packed) = bytes.get(start..end) else {
            return Err(Error::Truncated {
                format: FORMAT,
                found_bytes: bytes.len(),
            });
        };
        // A byte of a block stands for at most 255.
        block.resize(packed.len().saturating_mul(255).min(BLOCK_BYTES), 0);
        let unpacked = lz4_flex::block::decompress_into(packed, &mut block);
        let unpacked = unpacked.map_err(|error| Error::Damaged {
            format: FORMAT,
            offset: start,
            why: error.to_string(),
        })?;
        data.extend_from_slice(block.get(..unpacked).unwrap_or_default());
        if data.len() > limit_bytes {
            return Err(Error::TooLong {
                format: FORMAT,
                limit_bytes,
            });
        }
        consumed_bytes = end;
    }
    Ok(Decompressed {
        data,
        consumed_bytes,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}
