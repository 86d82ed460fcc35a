//! Every form against what its own tool makes, and against damage.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 16 << 20;

/// Bytes that are worth compressing: a third repeats, a third is text, a third is noise.
fn content(bytes: usize) -> Vec<u8> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut content = Vec::with_capacity(bytes);
    while content.len() < bytes {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        match seed % 3 {
            0 => content.extend([seed.to_le_bytes()[1]; 700]),
            1 => content.extend(format!("line {} of what is kept\n", seed % 1000).bytes()),
            _ => content.extend(seed.to_le_bytes()),
        }
    }
    content.truncate(bytes);
    content
}

/// What a tool makes of `content`; nothing, with the reason, where it is not installed.
fn packed(argv: &[&str], content: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]);
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{} is not installed",
            argv[0]
        );
        eprintln!("skipped: {} is not installed", argv[0]);
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    let content = content.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&content));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{argv:?}");
    Some(output.stdout)
}

const TOOLS: [(Format, &[&str]); 11] = [
    (Format::Gzip, &["gzip", "-9", "-c"]),
    (Format::Bzip2, &["bzip2", "-9", "-c"]),
    (Format::Lzma, &["xz", "--format=lzma", "-9", "-c"]),
    (Format::Xz, &["xz", "--check=crc32", "-6", "-c"]),
    (Format::Xz, &["xz", "--check=none", "-0", "-c"]),
    (
        Format::Xz,
        &["xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB", "-c"],
    ),
    (Format::Lzo, &["lzop", "-9", "-c"]),
    (Format::Lzo, &["lzop", "-1", "-c"]),
    (Format::Lz4, &["lz4", "-l", "-9", "-c"]),
    (Format::Zstd, &["zstd", "-19", "-c"]),
    (Format::Zstd, &["zstd", "-3", "--no-check", "-c"]),
];

#[test]
fn what_each_tool_packs_is_unpacked() {
    for (format, argv) in TOOLS {
        for bytes in [0, 1, 100, 300_000, 9 << 20] {
            let content = content(bytes);
            let Some(packed) = packed(argv, &content) else {
                continue;
            };
            // lz4 makes a magic number and nothing more of nothing; the kernel asks for a block.
            assert_eq!(Format::of(&packed), Some(format), "{argv:?}");
            let unpacked = decompress(format, &packed, LIMIT);
            let unpacked = unpacked.unwrap_or_else(|error| panic!("{argv:?} {bytes}: {error}"));
            assert!(unpacked.data == content, "{argv:?} {bytes}");
            assert_eq!(unpacked.consumed_bytes, packed.len(), "{argv:?} {bytes}");
        }
    }
}

#[test]
fn what_follows_a_stream_is_left_alone() {
    let content = content(5000);
    for (format, argv) in TOOLS {
        let Some(mut packed) = packed(argv, &content) else {
            continue;
        };
        let length = packed.len();
        packed.extend([0; 64]);
        let unpacked = decompress(format, &packed, LIMIT).unwrap();
        assert!(unpacked.data == content, "{argv:?}");
        // A known size of lzma may take a byte more; streams of lzop and lz4 end with zeros.
        let beyond = unpacked.consumed_bytes - length;
        assert!(beyond <= 1, "{argv:?}: {beyond} bytes more");
    }
}

#[test]
fn nothing_is_longer_than_allowed() {
    let content = content(100_000);
    for (format, argv) in TOOLS {
        let Some(packed) = packed(argv, &content) else {
            continue;
        };
        let limit_bytes = content.len() - 1;
        let error = decompress(format, &packed, limit_bytes).unwrap_err();
        assert_eq!(
            error,
            Error::TooLong {
                format,
                limit_bytes
            }
        );
        assert!(decompress(format, &packed, content.len()).is_ok());
    }
}

#[test]
fn a_cut_stream_is_an_error() {
    let content = content(20_000);
    for (format, argv) in TOOLS {
        let Some(packed) = packed(argv, &content) else {
            continue;
        };
        for length in [2, 10, packed.len() / 2, packed.len() - 1] {
            let cut = decompress(format, &packed[..length], LIMIT);
            // A stream of lz4 has no end: cut between blocks it is whole.
            let is_whole = format == Format::Lz4 && cut.is_ok();
            assert!(is_whole || cut.is_err(), "{argv:?} {length}");
        }
    }
}

#[test]
fn what_the_kernel_refuses_is_refused_by_name() {
    let content = content(1000);
    for (check, name) in [("crc64", "CRC64"), ("sha256", "SHA-256")] {
        let check = format!("--check={check}");
        let Some(packed) = packed(&["xz", &check, "-c"], &content) else {
            continue;
        };
        let error = decompress(Format::Xz, &packed, LIMIT).unwrap_err();
        assert_eq!(error, Error::XzCheck { check: name });
    }
    // The frame of today's lz4 has another magic number.
    if let Some(packed) = packed(&["lz4", "-c"], &content) {
        assert_eq!(Format::of(&packed), None);
    }
}

/// A stream of lzop with one block, as another implementation packs it.
fn lzop(content: &[u8], packed: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a];
    stream.extend([0x10, 0x30, 0x20, 0xa0, 0x09, 0x40, 3, 9]);
    stream.extend([0; 4 + 12]);
    stream.extend([0; 1 + 4]);
    for length in [content.len(), packed.len(), 0] {
        stream.extend(u32::try_from(length).unwrap().to_be_bytes());
    }
    stream.extend(packed);
    stream.extend([0; 4]);
    stream
}

proptest! {
    #[test]
    fn blocks_of_lzo_are_unpacked(
        runs in proptest::collection::vec((any::<u8>(), 1..600_usize), 1..200),
    ) {
        let content: Vec<u8> = runs
            .iter()
            .flat_map(|&(byte, length)| (0..length).map(move |at| if length % 3 == 0 { byte ^ at.to_le_bytes()[0] } else { byte }))
            .collect();
        let packed = lzokay_native::compress(&content).unwrap();
        prop_assume!(packed.len() < content.len() && content.len() <= 256 << 10);
        let stream = lzop(&content, &packed);
        prop_assert_eq!(decompress(Format::Lzo, &stream, LIMIT).unwrap().data, content);
    }

    #[test]
    fn damage_is_no_panic(
        which in 0..TOOLS.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (format, argv) = TOOLS[which];
        if let Some(mut packed) = packed(argv, &content(3000)) {
            for (at, byte) in changes {
                let at = at.index(packed.len());
                packed[at] = byte;
            }
            packed.truncate(cut.index(packed.len()) + 1);
            let limit = 1 << 20;
            if let Ok(unpacked) = decompress(format, &packed, limit) {
                prop_assert!(unpacked.data.len() <= limit);
                prop_assert!(unpacked.consumed_bytes <= packed.len());
            }
        }
    }
}
