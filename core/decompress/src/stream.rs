//! Unpacks the first stream.

use std::io::{self, Read};

use lzma_rust2::{Action, LzmaStream, Status, StreamResult, XzStream};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::error::Error;
use crate::format::Format;
use crate::{lz4, lzo};

/// What a stream unpacks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decompressed {
    /// The content.
    pub data: Vec<u8>,
    /// Bytes of the stream; others may follow it.
    pub consumed_bytes: usize,
}

/// Memory a dictionary of xz or lzma may take, in KiB: as much as `xz -9` and the kernel's own
/// images, and room to spare.
const DICTIONARY_KIB: u32 = 256 << 10;
/// Memory a window of zstd may take: that of `zstd -22`, which packs kernels.
const ZSTD_WINDOW_BYTES: u64 = 128 << 20;
/// Bytes that are unpacked in one go.
const STEP: usize = 64 << 10;
/// Where the kind of check is in the header of xz, and the kinds (`xz-file-format`, 2.1.1.2).
const XZ_CHECK_OFFSET: usize = 7;
const XZ_CHECKS: [(u8, &str); 2] = [(4, "CRC64"), (10, "SHA-256")];

/// Unpacks the stream `bytes` start with, to at most `limit_bytes`.
///
/// # Errors
/// [`Error`].
pub fn decompress(format: Format, bytes: &[u8], limit_bytes: usize) -> Result<Decompressed, Error> {
    match format {
        Format::Gzip => {
            let mut rest = bytes;
            let data = read(&mut flate2::bufread::GzDecoder::new(&mut rest), limit_bytes);
            finish(format, bytes, rest, data, limit_bytes)
        }
        Format::Bzip2 => {
            let mut rest = bytes;
            let data = read(&mut bzip2::bufread::BzDecoder::new(&mut rest), limit_bytes);
            finish(format, bytes, rest, data, limit_bytes)
        }
        Format::Zstd => {
            let mut rest = bytes;
            let mut frames = FrameDecoder::new();
            frames.set_max_window_size(ZSTD_WINDOW_BYTES);
            let data = StreamingDecoder::new_with_decoder(&mut rest, frames)
                .map_err(io::Error::other)
                .and_then(|mut decoder| read(&mut decoder, limit_bytes));
            finish(format, bytes, rest, data, limit_bytes)
        }
        Format::Lzma => {
            let mut stream = LzmaStream::new_mem_limit(DICTIONARY_KIB, None);
            let mut done = drive(format, bytes, limit_bytes, |from, to, action| {
                stream.process(from, to, action)
            })?;
            let unused = stream.unused_input().len();
            done.consumed_bytes = done.consumed_bytes.saturating_sub(unused);
            Ok(done)
        }
        Format::Xz => {
            let check = bytes.get(XZ_CHECK_OFFSET);
            if let Some((_, check)) = XZ_CHECKS.iter().find(|(id, _)| Some(id) == check) {
                return Err(Error::XzCheck { check });
            }
            let mut stream = XzStream::new_mem_limit(false, DICTIONARY_KIB);
            drive(format, bytes, limit_bytes, |from, to, action| {
                stream.process(from, to, action)
            })
        }
        Format::Lz4 => lz4::decompress(bytes, limit_bytes),
        Format::Lzo => lzo::decompress(bytes, limit_bytes),
    }
}

/// Everything, and one byte more than is allowed if there is more.
fn read(decoder: &mut dyn Read, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    let mut data = Vec::new();
    decoder
        .take(limit.saturating_add(1))
        .read_to_end(&mut data)?;
    Ok(data)
}

fn finish(
    format: Format,
    bytes: &[u8],
    rest: &[u8],
    data: io::Result<Vec<u8>>,
    limit_bytes: usize,
) -> Result<Decompressed, Error> {
    let consumed_bytes = bytes.len().saturating_sub(rest.len());
    let data = data.map_err(|error| damaged(format, bytes, consumed_bytes, &error))?;
    if data.len() > limit_bytes {
        return Err(Error::TooLong {
            format,
            limit_bytes,
        });
    }
    Ok(Decompressed {
        data,
        consumed_bytes,
    })
}

/// Runs a decoder that does no reading of its own.
fn drive(
    format: Format,
    bytes: &[u8],
    limit_bytes: usize,
    mut process: impl FnMut(&[u8], &mut [u8], Action) -> io::Result<StreamResult>,
) -> Result<Decompressed, Error> {
    let mut data = Vec::new();
    let mut buffer = vec![0; STEP];
    let mut consumed_bytes: usize = 0;
    loop {
        let rest = bytes.get(consumed_bytes..).unwrap_or_default();
        let step = process(rest, &mut buffer, Action::Finish)
            .map_err(|error| damaged(format, bytes, consumed_bytes, &error))?;
        consumed_bytes = consumed_bytes.saturating_add(step.bytes_consumed);
        data.extend_from_slice(buffer.get(..step.bytes_produced).unwrap_or_default());
        if data.len() > limit_bytes {
            return Err(Error::TooLong {
                format,
                limit_bytes,
            });
        }
        if step.status == Status::StreamEnd {
            return Ok(Decompressed {
                data,
                consumed_bytes,
            });
        }
        if step.bytes_consumed == 0 && step.bytes_produced == 0 {
            return Err(Error::Truncated {
                format,
                found_bytes: bytes.len(),
            });
        }
    }
}

/// What a decoder complains of.
fn damaged(format: Format, bytes: &[u8], offset: usize, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::Truncated {
            format,
            found_bytes: bytes.len(),
        };
    }
    Error::Damaged {
        format,
        offset,
        why: error.to_string(),
    }
}
