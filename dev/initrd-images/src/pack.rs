//! Packs archives, also in ways that no tool would.

use std::io::Write as _;
use std::num::NonZeroU64;

use lzma_rust2::{CheckType, FilterType, LzmaOptions, LzmaWriter, XzOptions, XzWriter};

/// Bytes of a block of lz4 in the old frame.
const LZ4_BLOCK: usize = 8 << 20;
/// Bytes of a block of lzop.
const LZO_BLOCK: usize = 256 << 10;

/// Writing to memory does not fail.
fn written<T>(result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|error| unreachable!("{error}"))
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or_else(|error| unreachable!("{error}"))
}

pub(crate) fn gzip(archive: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    written(encoder.write_all(archive));
    written(encoder.finish())
}

pub(crate) fn bzip2(archive: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    written(encoder.write_all(archive));
    written(encoder.finish())
}

pub(crate) fn lzma(archive: &[u8]) -> Vec<u8> {
    let options = LzmaOptions::with_preset(1);
    let mut encoder = written(LzmaWriter::new_use_header(Vec::new(), &options, None));
    written(encoder.write_all(archive));
    written(encoder.finish())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    None,
    X86,
}

pub(crate) fn xz(archive: &[u8], check: CheckType, filter: Filter) -> Vec<u8> {
    let mut options = XzOptions::with_preset(1);
    options.set_check_sum_type(check);
    options.set_block_size(NonZeroU64::new(1 << 30));
    if filter == Filter::X86 {
        options.prepend_pre_filter(FilterType::BcjX86, 0);
    }
    let mut encoder = written(XzWriter::new(Vec::new(), options));
    written(encoder.write_all(archive));
    written(encoder.finish())
}

pub(crate) fn zstd(archive: &[u8]) -> Vec<u8> {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    compress_to_vec(archive, CompressionLevel::Fastest)
}

/// A frame of zstd whose length is odd: an archive, and as many zeros as it takes.
pub(crate) fn odd_zstd(archive: &[u8]) -> Vec<u8> {
    let padded = |zeros: usize| {
        let mut archive = archive.to_vec();
        archive.resize(archive.len() + zeros * 4, 0);
        zstd(&archive)
    };
    let mut lengths = (0..64).map(padded);
    let odd = lengths.find(|frame| frame.len() % 2 == 1);
    odd.unwrap_or_else(|| {
        // A content checksum would do; a raw block always can.
        raw_zstd(archive)
    })
}

/// A frame with one block that is not compressed: single segment, no checksum.
fn raw_zstd(archive: &[u8]) -> Vec<u8> {
    // Frame_Content_Size in four bytes, no window.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(length(archive).to_le_bytes());
    let header = (length(archive) << 3) | 1;
    frame.extend(header.to_le_bytes().iter().take(3));
    frame.extend(archive);
    frame
}

/// A frame that asks for a window of 2 GiB, as `zstd --long=31` of as much does.
pub(crate) fn zstd_with_window_of_2_gib() -> Vec<u8> {
    // Window_Descriptor: exponent 21, mantissa 0: 2^(10 + 21). A last, raw block of nothing.
    vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0]
}

/// The old frame: `lz4 -l`.
pub(crate) fn lz4(archive: &[u8]) -> Vec<u8> {
    let mut frame = 0x184c_2102_u32.to_le_bytes().to_vec();
    for block in archive.chunks(LZ4_BLOCK) {
        let packed = lz4_flex::block::compress(block);
        frame.extend(length(&packed).to_le_bytes());
        frame.extend(packed);
    }
    frame
}

pub(crate) fn lz4_frame(archive: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    written(encoder.write_all(archive));
    encoder
        .finish()
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// What `lzop` writes: version 0x1030, checksums of what is unpacked.
pub(crate) fn lzo(archive: &[u8]) -> Vec<u8> {
    let mut file = vec![0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a];
    file.extend([0x10, 0x30, 0x20, 0xa0, 0x09, 0x40, 1, 5]);
    // Flags (Adler-32 of what is unpacked), mode, time, its upper half, no name, checksum.
    file.extend([0x01, 0, 0, 0x01]);
    file.extend([0; 12 + 1 + 4]);
    for block in archive.chunks(LZO_BLOCK) {
        let packed = lzokay_native::compress(block).unwrap_or_else(|error| unreachable!("{error}"));
        let packed = if packed.len() < block.len() {
            packed
        } else {
            block.to_vec()
        };
        file.extend(length(block).to_be_bytes());
        file.extend(length(&packed).to_be_bytes());
        file.extend([0; 4]);
        file.extend(packed);
    }
    file.extend([0; 4]);
    file
}
