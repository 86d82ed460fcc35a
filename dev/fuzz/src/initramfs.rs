//! Initramfs images: read, unpacked in memory, checked; and what they are compressed in.

use decompress::Format;
use initrd::{
    Archive, Contents, Kernel, Permissions, ReadEntry, Refused, Rules, Seen, Tree, check, read,
};

/// What a member may unpack to here.
const LIMIT_BYTES: usize = 1 << 20;

/// An image is read, and what it leaves behind is walked; what is found is what the findings count.
pub(crate) fn image(bytes: &[u8]) {
    let rules = Rules::new(LIMIT_BYTES);
    let mut tree = Tree::new();
    let (mut kept, mut made) = (0_usize, 0);
    let answer = read(bytes, &rules, &mut |seen| match seen {
        Seen::Entry(entry) => kept += usize::from(tree.unpack(entry, entry.content.len()).is_ok()),
        Seen::Trailer => tree.end_archive(),
        Seen::MemberEnd { offset } => assert!(offset <= bytes.len()),
        Seen::Member(_) | Seen::Skipped { .. } => {}
    });
    tree.walk(&mut |name, node| {
        assert!(node.bytes == 0 || node.content == node.bytes);
        assert!(tree.find(name).is_some());
        made += 1;
    });
    // Beside the three that every root has.
    assert!(made <= kept + 3, "{made} names of {kept} entries");
    let kernel = Kernel {
        option_fn: &|_| None,
        init: "/init",
    };
    let findings = check(bytes, &rules, &kernel);
    assert!(!findings.is_empty());
    if let Err(refused) = &answer {
        assert!(refused.offset <= bytes.len());
    }
    let (whole, in_pieces) = (entries(bytes, &rules), entries(bytes, &pieces()));
    assert_eq!(whole.1, in_pieces.1);
    // Of a stream that breaks off, pieces show the start.
    assert!(in_pieces.0.starts_with(&whole.0));
    assert!(answer.is_err() || in_pieces.0 == whole.0);
}

/// Entries but for their contents, and how reading ended.
fn entries(bytes: &[u8], rules: &Rules<'_>) -> (Vec<String>, Option<Refused>) {
    let mut entries = Vec::new();
    let answer = read(bytes, rules, &mut |seen| {
        if let Seen::Entry(entry) = seen {
            let content = &[][..];
            let entry = ReadEntry {
                content,
                ..entry.clone()
            };
            entries.push(format!("{entry:?}"));
        }
    });
    (entries, answer.err())
}

/// Members come in pieces of seven bytes.
fn pieces() -> Rules<'static> {
    Rules {
        contents: Contents::Passed,
        unpack_fn: &|format, bytes, limit_bytes, to| {
            let unpacked = decompress::decompress(format, bytes, limit_bytes)?;
            unpacked.data.chunks(7).for_each(to);
            Ok(unpacked.consumed_bytes)
        },
        ..Rules::new(LIMIT_BYTES)
    }
}

/// The list of images that Linux was shown, and those entries of which it has its own view.
pub(crate) fn image_seeds() -> Vec<Vec<u8>> {
    let mut archive = Archive::new();
    let content = b"content ".repeat(40);
    let added = archive.linked_file("init", &["also"], Permissions::PROGRAM, &content);
    assert!(added.is_ok(), "{added:?}");
    let cases = initrd_images::cases(&archive.finish()).into_iter();
    let images = cases.map(|case| case.image);
    let odd = initrd_images::odd_entries();
    let packed = initrd_images::compressed(&odd);
    images.chain([odd, packed]).collect()
}

/// Every decoder, by the first byte.
pub(crate) fn streams(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    let Some(format) = Format::ALL.get(usize::from(*which) % Format::ALL.len()) else {
        return;
    };
    let answer = decompress::decompress(*format, bytes, LIMIT_BYTES);
    if let Ok(done) = &answer {
        assert!(done.consumed_bytes <= bytes.len() && done.consumed_bytes != 0);
        assert!(done.data.len() <= LIMIT_BYTES);
    }
}

/// A stream of each form, behind the number of the form.
pub(crate) fn stream_seeds() -> Vec<Vec<u8>> {
    let images = image_seeds().into_iter();
    let streams = images.filter_map(|image| {
        let format = Format::of(&image)?;
        let which = Format::ALL.iter().position(|it| *it == format)?;
        Some([&[u8::try_from(which).ok()?][..], &image].concat())
    });
    streams.collect()
}
