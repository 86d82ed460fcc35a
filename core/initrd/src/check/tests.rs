//! Findings on small images.

use super::*;
use crate::{Archive, Permissions};

const LIMIT: usize = 1 << 20;

fn checked(image: &[u8], options: &[(&str, bool)]) -> Vec<(&'static str, Verdict, String)> {
    let kernel = Kernel {
        option_fn: &|name| {
            let found = options.iter().find(|(option, _)| *option == name);
            found.map(|(_, is_on)| *is_on)
        },
        init: "/init",
    };
    let findings = check(image, &Rules::new(LIMIT), &kernel);
    let all = findings.into_iter();
    all.map(|it| (it.topic.name(), it.verdict, it.message))
        .collect()
}

fn verdict(image: &[u8], options: &[(&str, bool)], topic: &str) -> (Verdict, String) {
    let found = checked(image, options);
    let found = found.into_iter().find(|(name, ..)| *name == topic);
    let (_, verdict, message) = found.unwrap();
    (verdict, message)
}

fn image(fill: impl FnOnce(&mut Archive)) -> Vec<u8> {
    let mut archive = Archive::new();
    fill(&mut archive);
    archive.finish()
}

#[test]
fn a_program_that_cannot_start_is_refused() {
    let with = |permissions, content: &[u8]| {
        let image = image(|it| it.file("init", permissions, content).unwrap());
        verdict(&image, &[], "init")
    };
    assert_eq!(with(Permissions::PROGRAM, b"\x7fELF").0, Verdict::Ok);
    assert_eq!(with(Permissions::DATA, b"\x7fELF").0, Verdict::Refused);
    assert_eq!(with(Permissions::PROGRAM, b"").0, Verdict::Refused);
    let (verdict, message) = with(Permissions::PROGRAM, b"#! /bin/sh -e\n");
    assert_eq!(verdict, Verdict::Refused);
    assert!(message.contains("/bin/sh, which is not there"), "{message}");
}

#[test]
fn an_image_without_a_program_is_unknown() {
    assert_eq!(verdict(&image(|_| {}), &[], "init").0, Verdict::Unknown);
    let wrong = [&image(|_| {})[..], b"junk"].concat();
    assert_eq!(verdict(&wrong, &[], "unpacking").0, Verdict::Refused);
}

#[test]
fn a_block_image_is_told_with_what_it_takes() {
    let mut image = vec![0; 4096];
    image[..4].copy_from_slice(b"hsqs");
    let (without, message) = verdict(&image, &[("CONFIG_BLK_DEV_RAM", false)], "unpacking");
    assert_eq!(without, Verdict::Refused);
    assert!(
        message.contains("squashfs") && message.contains("January 2027"),
        "{message}"
    );
    let (with, _) = verdict(&image, &[("CONFIG_BLK_DEV_RAM", true)], "unpacking");
    assert_eq!(with, Verdict::Warning);
    let none = verdict(&image, &[("CONFIG_BLK_DEV_INITRD", false)], "unpacking");
    assert!(none.1.contains("ignores every image"));
}

#[test]
fn microcode_is_looked_for_where_the_kernel_does() {
    let name = "kernel/x86/microcode/GenuineIntel.bin";
    let microcode = |pad: usize| {
        image(|it| {
            it.folders("kernel/x86/microcode").unwrap();
            let padding = "p".repeat(pad);
            it.file(&padding, Permissions::DATA, b"").unwrap();
            it.file(name, Permissions::DATA, b"code").unwrap();
        })
    };
    let all = (1..32).map(|pad| verdict(&microcode(pad), &[], "early").0);
    let all: Vec<_> = all.collect();
    assert!(all.contains(&Verdict::Ok) && all.contains(&Verdict::Warning));
    let without = image(|_| {});
    assert!(
        !checked(&without, &[])
            .iter()
            .any(|(name, ..)| *name == "early")
    );
}

#[test]
fn boot_configuration_with_something_behind_it_is_hidden() {
    let text = b"a = 1\n\n\n";
    let sum: u32 = text.iter().map(|&byte| u32::from(byte)).sum();
    let config = [
        &text[..],
        &8_u32.to_le_bytes(),
        &sum.to_le_bytes(),
        b"#BOOTCONFIG\n",
    ]
    .concat();
    let base = image(|_| {});
    let whole = [&base[..], &config].concat();
    let on = [("CONFIG_BOOT_CONFIG", true)];
    assert_eq!(verdict(&whole, &on, "bootconfig").0, Verdict::Ok);
    let off = [("CONFIG_BOOT_CONFIG", false)];
    assert_eq!(verdict(&whole, &off, "bootconfig").0, Verdict::Warning);
    let hidden = [&whole[..], &base].concat();
    assert!(verdict(&hidden, &on, "bootconfig").1.contains("is hidden"));
    assert!(
        !checked(&base, &on)
            .iter()
            .any(|(name, ..)| *name == "bootconfig")
    );
}

#[test]
fn entries_that_are_left_out_are_named() {
    let mut heads = crate::Heads::new();
    heads.assume_folder("etc");
    let kind = crate::Kind::File {
        bytes: 0,
        other_names: &[],
    };
    let head = heads.entry("etc/hosts", Permissions::DATA, &kind).unwrap();
    let (verdict, message) = verdict(&[head.bytes, heads.end()].concat(), &[], "entries");
    assert_eq!(verdict, Verdict::Warning);
    assert!(
        message.contains("1 of 1") && message.contains("etc/hosts"),
        "{message}"
    );
}
