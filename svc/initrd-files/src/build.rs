//! Makes an image of a plan.

use std::fs::File;
use std::io;
use std::path::Path;

use initrd::{Heads, Kind};

use crate::error::Error;
use crate::manifest::Manifest;
use crate::packer::{Output, Packer};
use crate::plan::{Plan, Source, What};

/// An image that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Built {
    /// Entries that were written.
    pub entries: usize,
    /// Bytes of the image.
    pub bytes: u64,
}

/// Writes an image to a new file, which is there whole or not at all. `base` is what sources in the
/// manifest are relative to.
///
/// # Errors
/// A source cannot be read, an entry is impossible, or the file cannot be written.
pub fn build(manifest: &Manifest, base: &Path, output: &Path) -> Result<Built, Error> {
    let plan = Plan::new(manifest, base)?;
    let mut file = Output::beside(output)?;
    let packer = Packer::new(file.file(), manifest.compression, manifest.level);
    let packer = packer.map_err(Error::file("write", output))?;
    write(&plan, Heads::new(), packer, output)?;
    Ok(Built {
        entries: plan.len(),
        bytes: file.persist(output)?,
    })
}

/// Writes the archive of a plan. Folders that `heads` has already are left as they are.
pub(crate) fn write(
    plan: &Plan,
    mut heads: Heads,
    mut packer: Packer<'_>,
    output: &Path,
) -> Result<(), Error> {
    let failed = |error: io::Error| Error::file("write", output)(error);
    for (name, attributes) in &plan.folders {
        if !heads.has_folder(name) {
            let head = heads.entry(name, *attributes, &Kind::Folder)?;
            packer.bytes(&head.bytes).map_err(failed)?;
            packer.zeros(head.padding).map_err(failed)?;
        }
    }
    for (name, (attributes, what)) in &plan.entries {
        let other_names: Vec<&str> = match what {
            What::File { names, .. } => names.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let kind = match what {
            What::File { source, .. } => Kind::File {
                bytes: match source {
                    Source::Content(content) => u64::try_from(content.len()).unwrap_or(u64::MAX),
                    Source::File { bytes, .. } => *bytes,
                },
                other_names: &other_names,
            },
            What::Symlink(target) => Kind::Symlink(target),
            What::Device(device) => Kind::Device(*device),
            What::Fifo => Kind::Fifo,
        };
        let head = heads.entry(name, *attributes, &kind)?;
        packer.bytes(&head.bytes).map_err(failed)?;
        if let What::File { source, .. } = what {
            write_content(source, &mut packer, output)?;
        }
        packer.zeros(head.padding).map_err(failed)?;
    }
    packer.bytes(&heads.end()).map_err(failed)?;
    packer.finish().map_err(failed)
}

fn write_content(source: &Source, packer: &mut Packer<'_>, output: &Path) -> Result<(), Error> {
    let (path, expected_bytes) = match source {
        Source::Content(content) => {
            return packer.bytes(content).map_err(Error::file("write", output));
        }
        Source::File { path, bytes } => (path, *bytes),
    };
    let file = File::open(path).map_err(Error::file("open", path))?;
    let found_bytes = packer.copy(&file, expected_bytes);
    let found_bytes = found_bytes.map_err(Error::file("copy", path))?;
    let now_bytes = file.metadata().map_err(Error::file("look at", path))?.len();
    // The head has the length already.
    if found_bytes != expected_bytes || now_bytes != expected_bytes {
        return Err(Error::Changed {
            path: path.clone(),
            expected_bytes,
            found_bytes: found_bytes.max(now_bytes),
        });
    }
    Ok(())
}
