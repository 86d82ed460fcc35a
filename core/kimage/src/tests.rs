//! Kernels in every wrapping that can be made here; those that real tools make are in the tests of
//! `decompress` and, as real kernels, in the scenarios.

use std::borrow::Cow;
use std::io::Write as _;
use std::string::String;
use std::vec;
use std::vec::Vec;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::bzimage::tests::with_payload;
use crate::{
    Arm64Image, KernelConfig, Packing, Tags, Uki, UnpackError, Unpacked, is_signed, release, unpack,
};

const CONFIG: &str = "# Linux\nCONFIG_LIVEUPDATE=y\nCONFIG_NR_CPUS=64\n# CONFIG_KHO is not set\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The parts of a kernel that are looked for, behind `start`.
fn kernel(start: &[u8]) -> Vec<u8> {
    let mut kernel = start.to_vec();
    kernel.resize(4096, 0x90);
    kernel.extend(b"Linux version 7.3.4 (a@b)\0\0kho-v4\0luo-v5\0\x81memfd-v2\0IKCFG_ST");
    kernel.extend(gzip(CONFIG.as_bytes()));
    kernel.extend(b"IKCFG_ED");
    kernel
}

fn arm64() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..2].copy_from_slice(b"MZ");
    header[16..24].copy_from_slice(&0x200_0000_u64.to_le_bytes());
    header[24..32].copy_from_slice(&0xa_u64.to_le_bytes());
    header[56..60].copy_from_slice(b"ARM\x64");
    kernel(&header)
}

fn checked(file: &[u8], packing: Packing, kernel: &[u8]) {
    let Unpacked {
        packing: found,
        kernel: unpacked,
        ..
    } = unpack(file).unwrap();
    assert_eq!(found, packing);
    assert!(*unpacked == *kernel, "{packing}");
    let tags = Tags::find(&unpacked);
    let tags = [tags.kho, tags.luo, tags.memfd].map(|tags| tags.into_iter().collect::<Vec<_>>());
    assert_eq!(tags, [["kho-v4"], ["luo-v5"], ["memfd-v2"]]);
    assert_eq!(release(&unpacked).as_deref(), Some("7.3.4"));
    let config = KernelConfig::find(&unpacked).unwrap();
    assert!(config.is_built_in("CONFIG_LIVEUPDATE"));
    assert_eq!(config.get("CONFIG_NR_CPUS"), Some("64"));
    assert_eq!(config.get("CONFIG_KHO"), None);
}

#[test]
fn a_kernel_is_found_in_every_wrapping() {
    let elf = kernel(b"\x7fELF");
    let packed = gzip(&elf);
    checked(&with_payload(&packed, 0), Packing::BzImage, &elf);
    checked(&with_payload(&elf, 0), Packing::BzImage, &elf);
    checked(&elf, Packing::Elf, &elf);
    let image = arm64();
    checked(&image, Packing::Arm64Image, &image);
    checked(&gzip(&image), Packing::CompressedImage, &image);
    checked(&zboot(&gzip(&image), "gzip"), Packing::Zboot, &image);
    let header = Arm64Image::parse(&image).unwrap();
    assert_eq!(header.image_bytes, 0x200_0000);
    assert_eq!(header.page_bytes(), Some(4096));
}

fn zboot(payload: &[u8], compression: &str) -> Vec<u8> {
    let mut file = vec![0; 0x1000];
    file[..2].copy_from_slice(b"MZ");
    file[4..8].copy_from_slice(b"zimg");
    file[8..12].copy_from_slice(&0x1000_u32.to_le_bytes());
    file[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    file[24..24 + compression.len()].copy_from_slice(compression.as_bytes());
    file.extend(payload);
    file
}

#[test]
fn what_is_no_kernel_is_told_apart_from_a_damaged_one() {
    assert_eq!(unpack(b""), Err(UnpackError::Empty));
    assert_eq!(unpack(b"#!/bin/sh\n"), Err(UnpackError::Unknown));
    assert_eq!(unpack(&gzip(b"no Image")), Err(UnpackError::Unknown));
    let mut cut = zboot(&gzip(&arm64()), "gzip");
    cut.truncate(0x1010);
    assert!(matches!(unpack(&cut), Err(UnpackError::Zboot { .. })));
    let other = zboot(&gzip(&arm64()), "brotli");
    let found = Some(*b"br");
    assert_eq!(unpack(&other), Err(UnpackError::Compression { found }));
    let mut damaged = gzip(&kernel(b"\x7fELF"));
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    let damaged = with_payload(&damaged, 0);
    assert!(matches!(unpack(&damaged), Err(UnpackError::Decompress(_))));
    let unknown = with_payload(b"??", 0);
    let found = Some(*b"??");
    assert_eq!(unpack(&unknown), Err(UnpackError::Compression { found }));
}

/// A PE file with these sections, one after the other.
fn uki(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 0x80];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x80;
    file.extend(b"PE\0\0");
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&0x8664_u16.to_le_bytes());
    header[2..4].copy_from_slice(&u16::try_from(sections.len()).unwrap().to_le_bytes());
    header[16..18].copy_from_slice(&240_u16.to_le_bytes());
    file.extend(header);
    let mut optional = vec![0; 240];
    optional[..2].copy_from_slice(&0x20b_u16.to_le_bytes());
    optional[108..112].copy_from_slice(&16_u32.to_le_bytes());
    file.extend(optional);
    let mut at = 0x1000_u32;
    let mut content = Vec::new();
    for (name, bytes) in sections {
        let mut section = vec![0; 40];
        section[..name.len()].copy_from_slice(name.as_bytes());
        let length = u32::try_from(bytes.len()).unwrap();
        section[8..12].copy_from_slice(&length.to_le_bytes());
        let padded = length.next_multiple_of(512);
        section[12..16].copy_from_slice(&(at + 0x10_0000).to_le_bytes());
        section[16..20].copy_from_slice(&padded.to_le_bytes());
        section[20..24].copy_from_slice(&at.to_le_bytes());
        file.extend(section);
        content.extend(*bytes);
        content.resize(content.len().next_multiple_of(512), 0);
        at += padded;
    }
    file.resize(0x1000, 0);
    file.extend(content);
    file
}

#[test]
fn a_unified_image_has_its_parts() {
    let linux = with_payload(&gzip(&kernel(b"\x7fELF")), 0);
    let file = uki(&[
        (".osrel", b"ID=debian\n"),
        (".cmdline", b"root=/dev/vda liveupdate=on\n\0"),
        (".uname", b"7.3.4"),
        (".initrd", b"070701"),
        (".linux", &linux),
    ]);
    let found = Uki::parse(&file).unwrap();
    assert!(found.linux == linux);
    assert_eq!(found.initrd, Some(&b"070701"[..]));
    assert_eq!(found.cmdline, Some("root=/dev/vda liveupdate=on"));
    assert_eq!(found.uname, Some("7.3.4"));
    assert_eq!(found.os_release, Some("ID=debian"));
    let kernel = unpack(found.linux).unwrap().kernel;
    assert_eq!(release(&kernel), Some(String::from("7.3.4")));
    assert!(matches!(kernel, Cow::Owned(_)));
    assert_eq!(Uki::parse(&uki(&[(".text", b"x")])), None);
    assert!(!is_signed(&file));
    let mut signed = file.clone();
    // Place and size of the fifth directory, behind the headers.
    let entry = 0x80 + 4 + 20 + 112 + 4 * 8;
    (signed[entry + 1], signed[entry + 4]) = (0x20, 8);
    assert!(is_signed(&signed));
    for length in 0..file.len() {
        if length < 0x1000 || length % 512 == 0 {
            let _no_panic = Uki::parse(&file[..length]);
        }
    }
}
