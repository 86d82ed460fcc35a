//! The root that Linux makes of a whole image.

use initrd::{Rules, Seen, Tree, read};

use crate::error::Error;

/// Unpacks an image in memory; `keep_fn` says what is kept of a content.
///
/// # Errors
/// [`Error::Refused`] when Linux stops before its end.
pub(crate) fn root<T: Clone + Default>(
    image: &[u8],
    rules: &Rules<'_>,
    keep_fn: &dyn Fn(&[u8]) -> T,
) -> Result<Tree<T>, Error> {
    let mut tree = Tree::new();
    let answer = read(image, rules, &mut |seen| match seen {
        Seen::Entry(entry) => {
            // What the kernel leaves out is in no root.
            let _lost = tree.unpack(entry, keep_fn(entry.content));
        }
        Seen::Trailer => tree.end_archive(),
        _ => {}
    });
    answer.map_err(|refused| Error::Refused {
        offset: refused.offset,
        why: refused.why,
    })?;
    Ok(tree)
}
