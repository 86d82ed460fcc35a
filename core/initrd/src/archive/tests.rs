//! The bytes against a hand-written archive, an independent reader, and Debian's `cpio`.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// One entry as an independent reader sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    name: String,
    mode: u32,
    links: u32,
    device: (u32, u32),
    content: Vec<u8>,
}

/// Reads an archive by the format's description only; panics on any deviation.
fn read(bytes: &[u8]) -> Vec<Seen> {
    let mut entries = Vec::new();
    let mut inodes = Vec::new();
    let mut at = 0;
    loop {
        assert_eq!(at % 4, 0);
        assert_eq!(&bytes[at..at + 6], b"070701");
        let header_at = at;
        let number = |index: usize| {
            let start = header_at + 6 + index * 8;
            let digits = core::str::from_utf8(&bytes[start..start + 8]).unwrap();
            u32::from_str_radix(digits, 16).unwrap()
        };
        let name_len = number(11) as usize;
        let name_at = at + 110;
        assert_eq!(bytes[name_at + name_len - 1], 0);
        let name = String::from_utf8(bytes[name_at..name_at + name_len - 1].to_vec()).unwrap();
        let content_at = (name_at + name_len).next_multiple_of(4);
        let content_end = content_at + number(6) as usize;
        assert!(
            bytes[name_at + name_len..content_at]
                .iter()
                .all(|byte| *byte == 0)
        );
        at = content_end.next_multiple_of(4);
        if name == "TRAILER!!!" {
            assert!(bytes[at..].iter().all(|byte| *byte == 0));
            return entries;
        }
        assert!(!inodes.contains(&number(0)), "inode used twice");
        inodes.push(number(0));
        entries.push(Seen {
            name,
            mode: number(1),
            links: number(4),
            device: (number(9), number(10)),
            content: bytes[content_at..content_end].to_vec(),
        });
    }
}

#[test]
fn tiny_archive_has_the_documented_bytes() {
    let mut archive = Archive::new();
    archive.folder("dev", Permissions::PROGRAM).unwrap();
    archive
        .device(
            "dev/null",
            Permissions::from_mode(0o666),
            Device::Character { major: 1, minor: 3 },
        )
        .unwrap();
    archive
        .file("init", Permissions::PROGRAM, b"hello")
        .unwrap();
    let mut expected = Vec::new();
    for part in [
        concat!(
            "070701", "00000001", "000041ed", "00000000", "00000000", "00000002", "00000000"
        ),
        concat!(
            "00000000", "00000000", "00000000", "00000000", "00000000", "00000004", "00000000"
        ),
        "dev\0\0\0",
        concat!(
            "070701", "00000002", "000021b6", "00000000", "00000000", "00000001", "00000000"
        ),
        concat!(
            "00000000", "00000000", "00000000", "00000001", "00000003", "00000009", "00000000"
        ),
        "dev/null\0\0",
        concat!(
            "070701", "00000003", "000081ed", "00000000", "00000000", "00000001", "00000000"
        ),
        concat!(
            "00000005", "00000000", "00000000", "00000000", "00000000", "00000005", "00000000"
        ),
        "init\0\0hello\0\0\0",
        concat!(
            "070701", "00000000", "00000000", "00000000", "00000000", "00000001", "00000000"
        ),
        concat!(
            "00000000", "00000000", "00000000", "00000000", "00000000", "0000000b", "00000000"
        ),
        "TRAILER!!!\0\0\0\0",
    ] {
        expected.extend_from_slice(part.as_bytes());
    }
    expected.resize(512, 0);
    assert_eq!(
        String::from_utf8(archive.finish()).unwrap(),
        String::from_utf8(expected).unwrap()
    );
}

#[test]
fn names_the_kernel_would_misread_are_refused() {
    let mut archive = Archive::new();
    for name in [
        "",
        "/init",
        "a//b",
        "./a",
        "a/../b",
        "a\0b",
        "a/",
        "TRAILER!!!",
    ] {
        let refused = archive.file(name, Permissions::DATA, b"");
        assert_eq!(
            refused,
            Err(Error::BadName {
                name: name.to_owned()
            }),
            "{name:?}"
        );
    }
    let longest = "n".repeat(4095);
    archive.file(&longest, Permissions::DATA, b"").unwrap();
    let refused = archive.file(&"n".repeat(4096), Permissions::DATA, b"");
    assert_eq!(refused, Err(Error::NameTooLong { len: 4096 }));
}

#[test]
fn entry_needs_its_folder_and_a_free_name() {
    let mut archive = Archive::new();
    archive.file("etc", Permissions::DATA, b"").unwrap();
    for name in ["etc/hosts", "usr/lib"] {
        let refused = archive.file(name, Permissions::DATA, b"").unwrap_err();
        assert!(matches!(refused, Error::MissingFolder { .. }), "{refused}");
    }
    let refused = archive.folder("etc", Permissions::PROGRAM).unwrap_err();
    assert_eq!(
        refused,
        Error::Duplicate {
            name: "etc".to_owned()
        }
    );
    assert!(archive.folders("etc/deep").is_err());
    archive.folders("usr/lib/deep").unwrap();
    archive.folders("usr/lib/deep").unwrap();
    let names: Vec<_> = read(&archive.finish())
        .into_iter()
        .map(|seen| seen.name)
        .collect();
    assert_eq!(names, ["etc", "usr", "usr/lib", "usr/lib/deep"]);
}

#[test]
fn refused_entry_leaves_the_archive_as_it_was() {
    let mut archive = Archive::new();
    archive.file("a", Permissions::DATA, b"1").unwrap();
    let before = archive.bytes.clone();
    archive.file("b/c", Permissions::DATA, b"2").unwrap_err();
    archive.symlink("l", "").unwrap_err();
    assert_eq!(archive.bytes, before);
    archive
        .linked_file("b", &["c", "b"], Permissions::DATA, b"3")
        .unwrap_err();
    archive.file("b", Permissions::DATA, b"4").unwrap();
    let names: Vec<_> = read(&archive.finish())
        .into_iter()
        .map(|seen| seen.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
}

/// GNU cpio makes one file of them, with the content that comes with the last name.
#[test]
fn names_of_one_file_come_with_one_inode() {
    let mut archive = Archive::new();
    let attributes = Attributes {
        permissions: Permissions::DATA,
        uid: 7,
        gid: 8,
        mtime: 9,
    };
    archive
        .linked_file("a", &["b"], attributes, b"shared")
        .unwrap();
    let mut tree = crate::Tree::new();
    let image = archive.finish();
    crate::read(&image, &crate::Rules::new(0), &mut |seen| {
        if let crate::Seen::Entry(entry) = seen {
            tree.unpack(entry, entry.content.to_vec()).unwrap();
        }
    })
    .unwrap();
    for name in [&b"a"[..], b"b"] {
        let node = tree.find(name).unwrap();
        assert_eq!((&node.content[..], node.names), (&b"shared"[..], 2));
        assert_eq!((node.uid, node.gid, node.mtime), (7, 8, 9));
    }
}

#[test]
fn file_of_4_gib_is_refused() {
    // Zeroed memory that is never touched: only its length is looked at.
    let content = vec![0_u8; 1 << 32];
    let refused = Archive::new().file("big", Permissions::DATA, &content);
    assert_eq!(
        refused,
        Err(Error::FileTooLarge {
            name: "big".to_owned(),
            len: 1 << 32
        })
    );
}

proptest! {
    #[test]
    fn independent_reader_sees_what_was_written(
        files in proptest::collection::btree_map(
            "[a-z0-9._-]{1,40}".prop_filter("a name", |name| name != "." && name != ".."),
            (proptest::collection::vec(any::<u8>(), 0..300), 0_u32..0o10000),
            0..20,
        )
    ) {
        let mut archive = Archive::new();
        archive.folders("x/y").unwrap();
        let mut expected = Vec::new();
        for (name, (content, mode)) in &files {
            let name = format!("x/y/{name}");
            archive.file(&name, Permissions::from_mode(*mode), content).unwrap();
            expected.push(Seen {
                name, mode: 0o100_000 | mode, links: 1, device: (0, 0), content: content.clone(),
            });
        }
        archive.symlink("x/link", "y/target").unwrap();
        archive.device("x/disk", Permissions::PRIVATE, Device::Block { major: 254, minor: 7 }).unwrap();
        let bytes = archive.finish();
        prop_assert_eq!(bytes.len() % 512, 0);
        let mut seen = read(&bytes);
        let disk = seen.pop().unwrap();
        prop_assert_eq!((disk.mode, disk.device), (0o060_600, (254, 7)));
        let link = seen.pop().unwrap();
        prop_assert_eq!((link.mode, link.content), (0o120_777, b"y/target".to_vec()));
        prop_assert_eq!((seen[1].name.as_str(), seen[1].mode, seen[1].links), ("x/y", 0o040_755, 2));
        prop_assert_eq!(&seen[2..], &expected[..]);
    }
}

/// Prints what Debian's `cpio` finds in the archive, as proof by a third party.
#[test]
fn cpio_lists_the_archive() {
    extern crate std;
    use std::process::{Command, Stdio};

    let mut archive = Archive::new();
    archive.folders("etc/deep").unwrap();
    archive
        .file("etc/deep/file", Permissions::PRIVATE, b"content")
        .unwrap();
    archive.symlink("etc/link", "deep/file").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), archive.finish()).unwrap();
    let listed = Command::new("cpio")
        .args(["--extract", "--list", "--verbose", "--quiet"])
        .stdin(Stdio::from(std::fs::File::open(file.path()).unwrap()))
        .output();
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            std::eprintln!("skipped: cannot run cpio ({error}); install the package cpio");
            return;
        }
    };
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let ends: Vec<_> = text
        .lines()
        .map(|line| {
            let mode = line.split(' ').next().unwrap_or_default();
            let name = line
                .split_whitespace()
                .skip(8)
                .collect::<Vec<_>>()
                .join(" ");
            format!("{mode} {name}")
        })
        .collect();
    assert_eq!(
        ends,
        [
            "drwxr-xr-x etc".to_string(),
            "drwxr-xr-x etc/deep".to_string(),
            "-rw------- etc/deep/file".to_string(),
            "lrwxrwxrwx etc/link -> deep/file".to_string(),
        ]
    );
}
