//! A file of an image, as the kernel leaves it.

use initrd::{EntryKind, Rules, Seen, Tree, read};

use crate::error::Error;

/// Gives the content of a file to `out`: of the entry that wrote it last, over links.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAFile`].
pub fn content<T>(
    image: &[u8],
    rules: &Rules<'_>,
    name: &str,
    out: impl FnOnce(&[u8]) -> T,
) -> Result<T, Error> {
    let mut tree: Tree<usize> = Tree::new();
    let mut count = 0;
    // What the kernel stops at ends the image for it, too.
    let _ended = read(image, rules, &mut |seen| match seen {
        Seen::Entry(entry) => {
            count += 1;
            let _lost = tree.unpack(entry, count);
        }
        Seen::Trailer => tree.end_archive(),
        _ => {}
    });
    let wanted = wanted(&tree, name)?;
    let (mut count, mut out, mut given) = (0, Some(out), None);
    let _ended = read(image, rules, &mut |seen| {
        if let Seen::Entry(entry) = seen {
            count += 1;
            if count == wanted {
                given = out.take().map(|out| out(entry.content));
            }
        }
    });
    given.ok_or_else(|| Error::NotFound {
        name: name.to_owned(),
    })
}

/// The number of the entry with the content.
fn wanted(tree: &Tree<usize>, name: &str) -> Result<usize, Error> {
    let name_text = || name.to_owned();
    let node = tree.follow(name.as_bytes());
    let node = node.ok_or_else(|| Error::NotFound { name: name_text() })?;
    if node.kind != EntryKind::File {
        let kind = node.kind;
        return Err(Error::NotAFile {
            name: name_text(),
            kind,
        });
    }
    Ok(node.content)
}
