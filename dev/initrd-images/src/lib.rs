//! Initramfs images that Linux takes or refuses, each with what Linux 7.3.4 makes of it.
//!
//! [`cases`] wraps an archive with a program to start in every way that matters: compressed, behind
//! another archive, with padding that fits and that does not. The tests of this crate hold the crate
//! `initrd` against the list; scenarios can boot the same images.

mod odd;
mod pack;
mod rewrite;

pub use odd::odd_entries;

use initrd::{Archive, Permissions};
use lzma_rust2::CheckType;

/// An image and what the kernel makes of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// The image.
    pub image: Vec<u8>,
    /// What the kernel makes of it.
    pub expected: Expected,
}

/// What the kernel makes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It unpacks all of it.
    Boots,
    /// It complains with these words, and has the program all the same.
    BootsAnd(&'static str),
    /// It complains with these words, and has no program to start.
    Fails(&'static str),
    /// The same, but these words are those of a decoder, and another one says it otherwise.
    FailsInDecoder(&'static str),
    /// The same, but it may have unpacked the program before its decoder complains.
    StopsInDecoder(&'static str),
}

use Expected::{Boots, BootsAnd, Fails, FailsInDecoder, StopsInDecoder};

const MAGIC: &str = "invalid magic at start of compressed archive";
const PADDING: &str = "broken padding";
const XZ_OPTIONS: &str =
    "Input was encoded with settings that are not supported by this XZ decoder";

/// An archive as a compressed member.
pub fn compressed(archive: &[u8]) -> Vec<u8> {
    pack::gzip(archive)
}

/// A small archive in front of the one with the program; its length is a multiple of 4.
fn first() -> Vec<u8> {
    let mut archive = Archive::new();
    archive
        .file("first", Permissions::DATA, b"the first archive\n")
        .unwrap_or_else(|error| unreachable!("{error}"));
    rewrite::without_padding(archive.finish())
}

/// All images around `main`, an archive with a program to start.
pub fn cases(main: &[u8]) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name, expected, parts: &[&[u8]]| {
        cases.push(Case {
            name,
            image: parts.concat(),
            expected,
        });
    };
    alone(main, &mut add);
    joined(main, &mut add);
    refused(main, &mut add);
    cases
}

type Add<'a> = &'a mut dyn FnMut(&'static str, Expected, &[&[u8]]);

/// One archive.
fn alone(main: &[u8], add: Add<'_>) {
    add("plain", Boots, &[main]);
    add(
        "without an end mark",
        Boots,
        &[&rewrite::without_trailer(main)],
    );
    add("gzip", Boots, &[&pack::gzip(main)]);
    add("bzip2", Boots, &[&pack::bzip2(main)]);
    add("lzma", Boots, &[&pack::lzma(main)]);
    add("lzo", Boots, &[&pack::lzo(main)]);
    add("lz4, the old frame", Boots, &[&pack::lz4(main)]);
    let crc32 = pack::xz(main, CheckType::Crc32, pack::Filter::None);
    add("xz with CRC32", Boots, &[&crc32]);
    let none = pack::xz(main, CheckType::None, pack::Filter::None);
    add("xz without a check", Boots, &[&none]);
    let x86 = pack::xz(main, CheckType::Crc32, pack::Filter::X86);
    add("xz with the filter for x86", Boots, &[&x86]);
    add("zstd", Boots, &[&pack::zstd(main)]);
    add(
        "sums that are right",
        Boots,
        &[&rewrite::with_sums(main, 0)],
    );
    add("zeros at the end", Boots, &[main, &[0; 512]]);
    let config = rewrite::boot_config(b"init.liveupdate.test = 1\n");
    add("boot configuration behind it", Boots, &[main, &config]);
}

/// Two archives.
fn joined(main: &[u8], add: Add<'_>) {
    let first = first();
    let odd = pack::odd_zstd(&first);
    add("plain and plain", Boots, &[&first, main]);
    add("plain and zstd", Boots, &[&first, &pack::zstd(main)]);
    add(
        "zstd of odd length and zstd",
        Boots,
        &[&odd, &pack::zstd(main)],
    );
    let image = [&odd, &[0][..], &pack::zstd(main)];
    add("zstd, a zero, zstd", Boots, &image);
    add(
        "zstd, zeros up to a multiple of 4, plain",
        Boots,
        &[&odd, pad_of(&odd), main],
    );
    // Four zeros end what has no end of its own.
    add(
        "lz4, four zeros, plain",
        Boots,
        &[
            &pack::lz4(&first),
            pad_of(&pack::lz4(&first)),
            &[0; 4],
            main,
        ],
    );
    let padded = rewrite::padded_name();
    add("a name padded with NULs", Boots, &[&padded, main]);
    add(
        "a folder, zeros, a plain archive",
        Boots,
        &[&first, &[0; 8], main],
    );
}

/// Zeros up to a multiple of 4.
fn pad_of(bytes: &[u8]) -> &'static [u8] {
    const ZEROS: [u8; 3] = [0; 3];
    let zeros = bytes.len().next_multiple_of(4) - bytes.len();
    ZEROS.get(..zeros).unwrap_or_default()
}

/// What the kernel does not take, and tools often do.
fn refused(main: &[u8], add: Add<'_>) {
    let first = first();
    let odd = pack::odd_zstd(&first);
    add(
        "lz4, the frame of today",
        Fails(MAGIC),
        &[&pack::lz4_frame(main)],
    );
    for (name, check) in [
        ("xz with CRC64", CheckType::Crc64),
        ("xz with SHA-256", CheckType::Sha256),
    ] {
        let image = pack::xz(main, check, pack::Filter::None);
        add(name, FailsInDecoder(XZ_OPTIONS), &[&image]);
    }
    let window = pack::zstd_with_window_of_2_gib();
    add(
        "zstd with a window of 2 GiB",
        FailsInDecoder("Out of memory while allocating ZSTD_DStream"),
        &[&window],
    );
    add(
        "plain, two zeros, plain",
        Fails(PADDING),
        &[&first, &[0; 2], main],
    );
    let image = [&first, &[0][..], &pack::zstd(main)];
    add("plain, a zero, zstd", Fails(PADDING), &image);
    add("zstd of odd length and plain", Fails(MAGIC), &[&odd, main]);
    let image = [&pack::lz4(&first)[..], main];
    add("lz4 and plain", FailsInDecoder("Decoding failed"), &image);
    let wrong = rewrite::with_sums(main, 1);
    // The first file is written before it is summed up, and it is the program.
    add(
        "sums that are wrong",
        BootsAnd("bad data checksum"),
        &[&wrong],
    );
    let old = rewrite::old_format(main);
    let words = "incorrect cpio method used";
    add("the old portable format", Fails(words), &[&old]);
    add(
        "something else behind it",
        BootsAnd(MAGIC),
        &[main, b"junk"],
    );
    let cut = pack::gzip(main);
    let cut = cut.get(..cut.len() / 2).unwrap_or_default();
    add("gzip that is cut", StopsInDecoder("read error"), &[cut]);
}

#[cfg(test)]
mod tests;
