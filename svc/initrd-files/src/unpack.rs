//! Unpacks members: zstd by the C library, which people wait for a third of the time; all else, and
//! every refusal, by the crate `decompress`.

use decompress::{Error, Format, decompress};
use initrd::Rules;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

/// What a member may unpack to: more than any has, and little enough.
pub const MAX_MEMBER_BYTES: usize = 2 << 30;
/// The largest window, as a power of 2: as in the crate `decompress`, of 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;
/// Bytes of a piece: those of a block of zstd (`ZSTD_DStreamOutSize()`), which stay in the cache.
const PIECE: usize = 128 << 10;

/// The rules of a kernel that has every form.
#[must_use]
pub fn rules() -> Rules<'static> {
    Rules {
        unpack_fn: &unpack,
        ..Rules::new(MAX_MEMBER_BYTES)
    }
}

/// Unpacks the stream that `bytes` start with, to at most `limit_bytes`, piece by piece; says how long it is.
///
/// # Errors
/// As of `decompress`.
pub fn unpack(
    format: Format,
    bytes: &[u8],
    limit_bytes: usize,
    to: &mut dyn FnMut(&[u8]),
) -> Result<usize, Error> {
    if format != Format::Zstd {
        let unpacked = decompress(format, bytes, limit_bytes)?;
        to(&unpacked.data);
        return Ok(unpacked.consumed_bytes);
    }
    let mut context = DCtx::create();
    let windowed = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
    windowed.map_err(|code| damaged(0, get_error_name(code)))?;
    let mut input = InBuffer::around(bytes);
    let mut piece: Vec<u8> = Vec::with_capacity(PIECE);
    let mut unpacked_bytes: usize = 0;
    loop {
        let before = input.pos();
        piece.clear();
        let mut output = OutBuffer::around(&mut piece);
        let left = context.decompress_stream(&mut output, &mut input);
        let left = left.map_err(|code| damaged(input.pos(), get_error_name(code)))?;
        unpacked_bytes = unpacked_bytes.saturating_add(piece.len());
        if unpacked_bytes > limit_bytes {
            return Err(Error::TooLong {
                format,
                limit_bytes,
            });
        }
        to(&piece);
        if left == 0 {
            return Ok(input.pos());
        }
        if before == input.pos() && piece.is_empty() {
            return Err(Error::Truncated {
                format,
                found_bytes: bytes.len(),
            });
        }
    }
}

fn damaged(offset: usize, why: &str) -> Error {
    Error::Damaged {
        format: Format::Zstd,
        offset,
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_or_too_long_is_told() {
        let packed = zstd::bulk::compress(&[7; 300_000], 3).unwrap();
        let unpack = |bytes: &[u8], limit| {
            let mut sum = 0;
            let answer = unpack(Format::Zstd, bytes, limit, &mut |piece| sum += piece.len());
            answer.map(|consumed| (consumed, sum))
        };
        let cut = unpack(&packed[..packed.len() - 1], 1 << 20);
        assert!(matches!(cut, Err(Error::Truncated { .. })), "{cut:?}");
        let long = unpack(&packed, 299_999);
        assert!(matches!(long, Err(Error::TooLong { .. })), "{long:?}");
        assert_eq!(unpack(&packed, 300_000).unwrap(), (packed.len(), 300_000));
    }
}
