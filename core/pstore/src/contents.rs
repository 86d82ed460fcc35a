//! What is in a record: unpacked, with the header and the driver's notice taken off.

use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::dump::DumpHeader;
use crate::name::RecordName;

/// Room for what is unpacked first.
const SMALLEST_BYTES: usize = 4096;
/// How the notice of ramoops begins that stands behind a text with ECC (`persistent_ram_ecc_string()`).
const ECC_NOTICES: [&[u8]; 2] = [b"\nECC: No errors detected\n", b"\nECC: "];
/// Bytes of the longest notice: `\n`, two 32-bit numbers and words.
const MAX_NOTICE_BYTES: usize = 96;

/// Why a packed record cannot be unpacked whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    /// The stream breaks off.
    #[error("the deflate stream breaks off after {unpacked_bytes} unpacked bytes")]
    Truncated {
        /// How much of it there is.
        unpacked_bytes: usize,
    },
    /// It is no deflate stream, or damaged.
    #[error("the deflate stream is damaged behind {unpacked_bytes} unpacked bytes")]
    Damaged {
        /// How much of it there is.
        unpacked_bytes: usize,
    },
    /// It unpacks to more than is wanted.
    #[error("it unpacks to more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
}

/// Unpacks raw deflate (no zlib header), as pstore packs, into at most `limit_bytes`; what follows the stream's end is
/// not looked at. What there is, and why it is not all.
pub fn inflate(packed: &[u8], limit_bytes: usize) -> (Vec<u8>, Option<InflateError>) {
    let (bytes, status) = unpack(packed, limit_bytes);
    let unpacked_bytes = bytes.len();
    let error = match status {
        TINFLStatus::Done => None,
        TINFLStatus::HasMoreOutput => Some(InflateError::TooLarge { limit_bytes }),
        TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => {
            Some(InflateError::Truncated { unpacked_bytes })
        }
        _ => Some(InflateError::Damaged { unpacked_bytes }),
    };
    (bytes, error)
}

/// The output grows with what is unpacked, so that it is never more than twice that.
fn unpack(packed: &[u8], limit_bytes: usize) -> (Vec<u8>, TINFLStatus) {
    let mut state = DecompressorOxide::new();
    let mut output = Vec::new();
    let (mut read, mut written) = (0_usize, 0_usize);
    loop {
        let more = output.len().max(packed.len()).max(SMALLEST_BYTES);
        let size = output.len().saturating_add(more).min(limit_bytes);
        output.resize(size, 0);
        let rest = packed.get(read..).unwrap_or_default();
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, took, gave) = decompress(&mut state, rest, &mut output, written, flags);
        read = read.saturating_add(took);
        written = written.saturating_add(gave);
        if status != TINFLStatus::HasMoreOutput || size == limit_bytes {
            output.truncate(written);
            return (output, status);
        }
    }
}

/// Whether a record was packed, and how unpacking went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpacked {
    /// The kernel has unpacked it, or it never was packed.
    ByKernel,
    /// It is unpacked here.
    Here,
    /// It is unpacked as far as it goes.
    Partly(InflateError),
}

/// What is in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The first line, of a record of type dmesg.
    pub header: Option<DumpHeader>,
    /// What follows it, without the notice of ECC.
    pub body: Vec<u8>,
    /// Who unpacked it.
    pub unpacked: Unpacked,
    /// What the driver says of the memory it was in; empty: nothing.
    pub ecc_notice: Vec<u8>,
}

impl Contents {
    /// Reads the file of a record; what was packed is unpacked to at most `limit_bytes`.
    pub fn read(name: &RecordName, file: &[u8], limit_bytes: usize) -> Self {
        let (mut text, unpacked) = if name.is_packed {
            let (text, error) = inflate(file, limit_bytes);
            (text, error.map_or(Unpacked::Here, Unpacked::Partly))
        } else {
            (file.to_vec(), Unpacked::ByKernel)
        };
        let notice = text.split_off(notice_start(&text));
        let is_dmesg = name.kind == crate::RecordKind::Dmesg;
        let split = is_dmesg.then(|| DumpHeader::split(&text)).flatten();
        let (header, body) = match split {
            Some((header, rest)) => (Some(header), rest.to_vec()),
            None => (None, text),
        };
        Self {
            header,
            body,
            unpacked,
            ecc_notice: notice,
        }
    }
}

/// Where the notice behind a text begins; its end if there is none.
fn notice_start(text: &[u8]) -> usize {
    let from = text.len().saturating_sub(MAX_NOTICE_BYTES);
    let tail = text.get(from..).unwrap_or_default();
    let last_line = tail
        .strip_suffix(b"\n")
        .and_then(|tail| tail.iter().rposition(|byte| *byte == b'\n'));
    let Some(at) = last_line else {
        return text.len();
    };
    let line = tail.get(at..).unwrap_or_default();
    if ECC_NOTICES.iter().any(|notice| line.starts_with(notice)) {
        from.saturating_add(at)
    } else {
        text.len()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::*;

    use super::*;
    use crate::dump::Reason;

    fn name(text: &str) -> RecordName {
        RecordName::parse(text).unwrap()
    }

    #[test]
    fn a_packed_record_is_unpacked_here() {
        let text = b"Shutdown#1 Part1\n<6>kexec_core: Starting new kernel\n";
        let packed = compress_to_vec(text, 6);
        let contents = Contents::read(&name("dmesg-kho-0.enc.z"), &packed, 1 << 20);
        assert_eq!(contents.header.unwrap().reason, Reason::Shutdown);
        assert_eq!(contents.body, b"<6>kexec_core: Starting new kernel\n");
        assert_eq!(contents.unpacked, Unpacked::Here);
        // The same bytes without the suffix are what they are.
        let plain = Contents::read(&name("dmesg-kho-0"), &packed, 1 << 20);
        assert_eq!((plain.header, plain.body), (None, packed));
    }

    #[test]
    fn a_stream_that_breaks_off_gives_what_there_is() {
        let text = (0..2000_u32).flat_map(|n| n.to_string().into_bytes());
        let text: Vec<u8> = text.collect();
        let packed = compress_to_vec(&text, 6);
        let (part, error) = inflate(&packed[..packed.len() / 2], 1 << 20);
        assert!(text.starts_with(&part) && part.len() > 500);
        let unpacked_bytes = part.len();
        assert_eq!(error, Some(InflateError::Truncated { unpacked_bytes }));
        let (part, error) = inflate(&packed, 100);
        assert_eq!(part, text[..100]);
        assert_eq!(error, Some(InflateError::TooLarge { limit_bytes: 100 }));
        let (_, error) = inflate(&[0xff; 40], 1 << 20);
        assert!(matches!(error, Some(InflateError::Damaged { .. })));
        assert_eq!(inflate(&packed, usize::MAX), (text, None));
        assert!(inflate(&[], 10).1.is_some());
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks_to_the_same_or_to_its_start(
            text in proptest::collection::vec(0_u8..8, 0..9000),
            limit_bytes in 0_usize..10_000,
        ) {
            let packed = compress_to_vec(&text, 6);
            let (found, error) = inflate(&packed, limit_bytes);
            let length = text.len().min(limit_bytes);
            prop_assert_eq!(found, &text[..length]);
            prop_assert_eq!(error.is_none(), text.len() <= limit_bytes);
        }
    }

    #[test]
    fn the_notice_of_ecc_is_no_line_of_the_log() {
        let read = |text: &[u8]| Contents::read(&name("console-ramoops-0"), text, 0);
        let found = read(b"last line\n\nECC: No errors detected\n");
        assert_eq!(found.body, b"last line\n");
        assert_eq!(found.ecc_notice, b"\nECC: No errors detected\n");
        let found = read(b"last\n\nECC: 3 Corrected bytes, 1 unrecoverable blocks\n");
        assert_eq!(found.body, b"last\n");
        assert_eq!(read(b"ECC: a line of its own\n").ecc_notice, b"");
        assert_eq!(read(&vec![b'\n'; 300]).ecc_notice, b"");
    }
}
