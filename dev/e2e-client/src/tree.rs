//! Says what is on a file system, so that the host can compare it with what an image should leave there.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{major, minor};

use crate::say;

/// What to list.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder; what is mounted below it is left out.
    folder: PathBuf,
}

/// Prints a line for each entry: mode, owner, group, names, time, device, CRC-32 of the content, bytes,
/// path without the leading slash, and the target of a link; what is no plain ASCII is escaped.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let device = fs::symlink_metadata(&arguments.folder)?.dev();
    let mut open = vec![arguments.folder.clone()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let found = fs::symlink_metadata(&path)?;
            if found.dev() == device {
                describe(&path, &found).with_context(|| path.display().to_string())?;
                if found.is_dir() {
                    open.push(path);
                }
            }
        }
    }
    Ok(())
}

fn describe(path: &Path, found: &Metadata) -> anyhow::Result<()> {
    let kind = found.file_type();
    let (mut crc, mut bytes, mut target, mut rdev) = (0, 0, String::new(), 0);
    if kind.is_file() {
        crc = crc32fast::hash(&fs::read(path)?);
        bytes = found.len();
    } else if kind.is_symlink() {
        let to = fs::read_link(path)?;
        target = format!(" {}", to.as_os_str().as_bytes().escape_ascii());
    } else if kind.is_char_device() || kind.is_block_device() {
        rdev = found.rdev();
    }
    // The number of a folder's names is the file system's matter.
    let names = if kind.is_dir() { 0 } else { found.nlink() };
    let (major, minor) = (major(rdev), minor(rdev));
    let path = path.as_os_str().as_bytes();
    let name = path.strip_prefix(b"/").unwrap_or(path).escape_ascii();
    say!(
        "{:06o} {} {} {names} {} {major}:{minor} {crc:08x} {bytes} {name}{target}",
        found.mode(),
        found.uid(),
        found.gid(),
        found.mtime(),
    );
    Ok(())
}
