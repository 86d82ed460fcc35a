//! What an image leaves behind, entry by entry; the scenario `initrd::` compares the same with Linux.

use alloc::string::{String, ToString as _};
use alloc::vec;

use super::*;

const FILE: u32 = 0o100_644;
const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;

fn entry<'a>(name: &'a str, mode: u32, content: &'a [u8]) -> ReadEntry<'a> {
    ReadEntry {
        name: name.as_bytes(),
        kind: EntryKind::of(mode).unwrap(),
        mode,
        uid: 0,
        gid: 0,
        nlink: 1,
        mtime: 0,
        inode: (1, 0, 0),
        device: (0, 0),
        bytes: content.len(),
        content,
        content_offset: 0,
    }
}

fn names(tree: &Tree<Vec<u8>>) -> Vec<String> {
    let mut names = Vec::new();
    tree.walk(&mut |name, _| names.push(String::from_utf8_lossy(name).into_owned()));
    names
}

fn add(tree: &mut Tree<Vec<u8>>, entry: &ReadEntry<'_>) -> Result<(), Loss> {
    tree.unpack(entry, entry.content.to_vec())
}

#[test]
fn the_root_has_what_every_kernel_puts_there() {
    let tree = Tree::<()>::new();
    assert_eq!(tree.find(b"dev/console").unwrap().device, (5, 1));
    assert_eq!(tree.find(b"/root").unwrap().mode, 0o040_700);
    assert_eq!(tree.find(b".").unwrap().kind, EntryKind::Folder);
}

#[test]
fn an_entry_without_its_folder_is_lost() {
    let mut tree = Tree::new();
    let lost = add(&mut tree, &entry("etc/passwd", FILE, b"x"));
    assert_eq!(lost, Err(Loss::NoFolder));
    add(&mut tree, &entry("etc", FILE, b"")).unwrap();
    let lost = add(&mut tree, &entry("etc/passwd", FILE, b"x"));
    assert_eq!(lost, Err(Loss::NotAFolder));
    // A folder takes the place of a file.
    add(&mut tree, &entry("./etc/", FOLDER, b"")).unwrap();
    add(&mut tree, &entry("/etc//passwd", FILE, b"x")).unwrap();
    assert_eq!(
        names(&tree),
        ["dev", "dev/console", "etc", "etc/passwd", "root"]
    );
    let lost = add(&mut tree, &entry("etc", FILE, b""));
    assert_eq!(lost, Err(Loss::FolderInTheWay));
}

#[test]
fn links_on_the_way_are_followed_and_end() {
    let mut tree = Tree::new();
    for name in ["usr", "usr/bin"] {
        add(&mut tree, &entry(name, FOLDER, b"")).unwrap();
    }
    add(&mut tree, &entry("bin", LINK, b"/usr/./nowhere/../bin")).unwrap();
    assert_eq!(
        add(&mut tree, &entry("bin/sh", FILE, b"")),
        Err(Loss::NoFolder)
    );
    add(&mut tree, &entry("bin", LINK, b"dev/../usr/bin\0rest")).unwrap();
    add(&mut tree, &entry("bin/sh", FILE, b"sh")).unwrap();
    assert_eq!(tree.find(b"usr/bin/sh").unwrap().content, b"sh");
    add(&mut tree, &entry("a", LINK, b"b")).unwrap();
    add(&mut tree, &entry("b", LINK, b"a")).unwrap();
    assert_eq!(tree.follow(b"bin/sh").unwrap().content, b"sh");
    assert_eq!(tree.follow(b"bin").unwrap().kind, EntryKind::Folder);
    assert_eq!(tree.follow(b"a"), None);
    assert_eq!(
        add(&mut tree, &entry("a/x", FILE, b"")),
        Err(Loss::TooManyLinks)
    );
    // The last part is no way.
    add(&mut tree, &entry("bin", FILE, b"now a file")).unwrap();
    assert_eq!(tree.find(b"bin").unwrap().kind, EntryKind::File);
    assert_eq!(
        add(&mut tree, &entry("usr/..", FILE, b"")),
        Err(Loss::IsRoot)
    );
}

#[test]
fn names_of_one_file_share_it_up_to_the_end_mark() {
    let mut tree = Tree::new();
    let linked = |name, content| ReadEntry {
        nlink: 2,
        ..entry(name, FILE, content)
    };
    add(&mut tree, &linked("first", b"")).unwrap();
    add(&mut tree, &linked("second", b"content")).unwrap();
    add(&mut tree, &linked("third", b"")).unwrap();
    assert_eq!(tree.find(b"first").unwrap().content, b"content");
    assert_eq!(tree.find(b"third").unwrap().names, 3);
    // The name that others are linked to is gone: the kernel leaves the next one out.
    add(&mut tree, &entry("first", FOLDER, b"")).unwrap();
    assert_eq!(
        add(&mut tree, &linked("fourth", b"")),
        Err(Loss::NoFirstName)
    );
    tree.end_archive();
    add(&mut tree, &linked("fifth", b"other")).unwrap();
    assert_eq!(tree.find(b"third").unwrap().content, b"content");
    assert_eq!(tree.find(b"fifth").unwrap().names, 1);
}

#[test]
fn long_parts_are_lost_and_long_ways_are_not() {
    let mut tree = Tree::new();
    let long = "n".repeat(256);
    assert_eq!(
        add(&mut tree, &entry(&long, FILE, b"")),
        Err(Loss::NameTooLong)
    );
    let deep = vec!["dev/.."; 500].join("/") + "/deep";
    add(&mut tree, &entry(&deep, FILE, b"")).unwrap();
    assert!(tree.find(b"deep").is_some());
    assert!(Loss::NoFolder.to_string().contains("folder"));
}
