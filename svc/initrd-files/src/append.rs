//! Adds to an image what Linux unpacks behind it, and leaves its bytes as they are.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use initrd::{BootConfig, EntryKind, Heads, Rules};

use crate::build::write;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::packer::{Output, Packer};
use crate::plan::Plan;
use crate::root::root;

/// An image that was extended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Appended {
    /// Bytes of the image.
    pub bytes: u64,
    /// Where in it the new archive starts.
    pub offset: usize,
    /// Names that the image had, and that lead to the new entries now.
    pub replaced: Vec<String>,
}

/// Writes `image` with the entries of a manifest behind it to a new file.
///
/// Folders that the image has are left as they are, also when a link leads there: an entry for the
/// folder `bin` would take the place of the link `bin` that distributions have. Boot configuration
/// stays at the very end, where the kernel looks for it.
///
/// # Errors
/// [`Error::Refused`] when Linux stops within `image`; what [`build`](crate::build()) says.
pub fn append(
    image: &[u8],
    rules: &Rules<'_>,
    manifest: &Manifest,
    base: &Path,
    output: &Path,
) -> Result<Appended, Error> {
    let tree = root(image, rules, &|_| ())?;
    let plan = Plan::new(manifest, base)?;
    let mut heads = Heads::new();
    for folder in plan.folders.keys() {
        let found = tree.follow(folder.as_bytes());
        if found.is_some_and(|node| node.kind == EntryKind::Folder) {
            heads.assume_folder(folder);
        }
    }
    let names = plan.entries.keys();
    let replaced = names.filter(|name| tree.find(name.as_bytes()).is_some());
    let replaced = replaced.cloned().collect();

    let config = BootConfig::find(image).map_or(image.len(), |config| config.offset);
    let (archives, config) = image.split_at_checked(config).unwrap_or((image, &[]));
    let mut file = Output::beside(output)?;
    let failed = |error| Error::file("write", output)(error);
    // A plain archive starts at a multiple of 4, and zeros may stand between any two.
    let offset = archives.len().next_multiple_of(4);
    file.file().write_all(archives).map_err(failed)?;
    let zeros = vec![0; offset - archives.len()];
    file.file().write_all(&zeros).map_err(failed)?;
    let packer = Packer::new(file.file(), manifest.compression, manifest.level);
    write(&plan, heads, packer.map_err(failed)?, output)?;
    if !config.is_empty() {
        pad(file.file()).map_err(failed)?;
        file.file().write_all(config).map_err(failed)?;
    }
    Ok(Appended {
        bytes: file.persist(output)?,
        offset,
        replaced,
    })
}

/// Zeros up to a multiple of 4, where boot configuration starts.
fn pad(file: &mut File) -> io::Result<()> {
    let bytes = file.metadata()?.len();
    let zeros = bytes.next_multiple_of(4) - bytes;
    let zeros = vec![0; usize::try_from(zeros).unwrap_or(0)];
    file.write_all(&zeros)
}
