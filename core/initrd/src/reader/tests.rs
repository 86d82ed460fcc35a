//! Members that come in pieces, beside the same as a whole.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::{Archive, Permissions};

/// What is seen of a member with this content, handed over `piece` bytes at a time.
fn seen(data: &[u8], contents: Contents, piece: usize) -> (Vec<String>, Option<Refused>) {
    let rules = Rules {
        contents,
        unpack_fn: &|_, bytes, _, to| {
            data.chunks(piece).for_each(to);
            Ok(bytes.len())
        },
        ..Rules::new(0)
    };
    let mut seen = Vec::new();
    let answer = read(b"\x1f\x8b the stream", &rules, &mut |found| match found {
        Seen::Entry(entry) => {
            let is_link = entry.kind == EntryKind::Symlink;
            let content = if is_link { entry.content } else { &[] };
            let entry = ReadEntry {
                content,
                ..entry.clone()
            };
            seen.push(format!("{entry:?}"));
        }
        other => seen.push(format!("{other:?}")),
    });
    (seen, answer.err())
}

/// Whole archives, and such with each kind of damage.
fn data() -> Vec<Vec<u8>> {
    let mut archive = Archive::new();
    archive.folder("dev", Permissions::PROGRAM).unwrap();
    archive.file("dev/a", Permissions::DATA, b"1").unwrap();
    archive.file("empty", Permissions::DATA, b"").unwrap();
    archive.symlink("link", "dev/a").unwrap();
    let good = archive.finish();
    let changed = |at: usize, to: &[u8]| {
        let mut data = good.clone();
        data[at..at + to.len()].copy_from_slice(to);
        data
    };
    // "dev/a": its head is 116 bytes behind the folder's 116, and padding follows its only byte.
    let content = 116 + 116;
    assert_eq!(good[content], b'1');
    let summed = [
        &changed(116, b"070702")[..116 + 102],
        b"00000002",
        &good[116 + 110..],
    ]
    .concat();
    let mut all = vec![
        good.clone(),
        changed(content + 1, b"x\0y"),
        changed(116, b"070707"),
        changed(116 + 6, b"?"),
        changed(116 + 14, b"000001a4"),
        summed,
        [&good[..], b"junk"].concat(),
        [&good[..], &[0; 3], &good].concat(),
        [&good[..], &good].concat(),
    ];
    for cut in [1, 50, 113, 116, 230, 232, 233, 236, 400] {
        all.push(good[..cut].to_vec());
    }
    all
}

#[test]
fn pieces_of_any_size_are_read_as_the_whole() {
    for data in data() {
        let whole = seen(&data, Contents::Kept, data.len());
        for piece in [1, 2, 3, 4, 7, 109, 110, 111, 512, data.len()] {
            let pieces = seen(&data, Contents::Passed, piece);
            assert_eq!(pieces, whole, "{piece} of {:?}", data.escape_ascii());
        }
    }
}
