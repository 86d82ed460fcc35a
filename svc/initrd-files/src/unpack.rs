//! Unpacks members: zstd by the C library, which people wait for a third of the time; all else, and
//! every refusal, by the crate `decompress`.

use decompress::{Decompressed, Error, Format, decompress};
use initrd::Rules;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

/// What a member may unpack to: more than any has, and little enough.
pub const MAX_MEMBER_BYTES: usize = 2 << 30;
/// The largest window, as a power of 2: as in the crate `decompress`, of 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;
/// Bytes that the result grows by at a time.
const STEP: usize = 4 << 20;

/// The rules of a kernel that has every form.
#[must_use]
pub fn rules() -> Rules<'static> {
    Rules {
        unpack_fn: &unpack,
        ..Rules::new(MAX_MEMBER_BYTES)
    }
}

/// Unpacks the stream that `bytes` start with, to at most `limit_bytes`.
///
/// # Errors
/// As of `decompress`.
pub fn unpack(format: Format, bytes: &[u8], limit_bytes: usize) -> Result<Decompressed, Error> {
    if format != Format::Zstd {
        return decompress(format, bytes, limit_bytes);
    }
    let mut context = DCtx::create();
    let windowed = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
    windowed.map_err(|code| damaged(0, get_error_name(code)))?;
    let mut input = InBuffer::around(bytes);
    let mut data: Vec<u8> = Vec::new();
    loop {
        let before = (input.pos(), data.len());
        let room = STEP.min(limit_bytes.saturating_sub(data.len()).saturating_add(1));
        data.reserve(room);
        let start = data.len();
        let mut output = OutBuffer::around_pos(&mut data, start);
        let left = context.decompress_stream(&mut output, &mut input);
        let left = left.map_err(|code| damaged(input.pos(), get_error_name(code)))?;
        if data.len() > limit_bytes {
            return Err(Error::TooLong {
                format,
                limit_bytes,
            });
        }
        if left == 0 {
            return Ok(Decompressed {
                data,
                consumed_bytes: input.pos(),
            });
        }
        if before == (input.pos(), data.len()) {
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
    use initrd::{Archive, Permissions, Seen, read};
    use initrd_images::cases;

    use super::*;

    /// What is refused, and behind what.
    fn read_by(image: &[u8], rules: &Rules<'_>) -> (Vec<String>, bool) {
        let mut seen = Vec::new();
        let answer = read(image, rules, &mut |found| {
            if !matches!(found, Seen::Entry(_)) {
                seen.push(format!("{found:?}"));
            }
        });
        (seen, answer.is_ok())
    }

    #[test]
    fn both_decoders_of_zstd_take_the_same_images() {
        let mut archive = Archive::new();
        let content = b"content ".repeat(40_000);
        archive
            .file("init", Permissions::PROGRAM, &content)
            .unwrap();
        let main = archive.finish();
        for case in cases(&main) {
            let slow = read_by(&case.image, &Rules::new(MAX_MEMBER_BYTES));
            assert_eq!(read_by(&case.image, &rules()), slow, "{}", case.name);
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_told() {
        let packed = zstd::bulk::compress(&[7; 100_000], 3).unwrap();
        let cut = unpack(Format::Zstd, &packed[..packed.len() - 1], 1 << 20);
        assert!(matches!(cut, Err(Error::Truncated { .. })), "{cut:?}");
        let long = unpack(Format::Zstd, &packed, 99_999);
        assert!(matches!(long, Err(Error::TooLong { .. })), "{long:?}");
        assert_eq!(
            unpack(Format::Zstd, &packed, 100_000).unwrap().data.len(),
            100_000
        );
    }
}
