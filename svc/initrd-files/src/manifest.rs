//! The manifest of an image, in TOML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;

/// What is to be in an image. Paths are those in the image; sources are relative to the manifest's
/// folder. Folders on the way to an entry need no entry of their own.
///
/// ```
/// let manifest = initrd_files::Manifest::parse(r#"
///     compression = "zstd"
///
///     [file."/init"]
///     source = "agent"
///     mode = "0755"
///
///     [file."/etc/hostname"]
///     content = "guest\n"
///
///     [link]
///     "/bin/sh" = "busybox"
///
///     [device."/dev/null"]
///     kind = "character"
///     major = 1
///     minor = 3
///     mode = "0666"
///
///     [tree."/usr"]
///     source = "rootfs/usr"
/// "#.as_ref(), "manifest.toml".as_ref())?;
/// assert_eq!(manifest.file.len(), 2);
/// # Ok::<(), initrd_files::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// What the image is compressed in. Default: nothing.
    pub compression: Compression,
    /// How much it is compressed, in the numbers of the tool. Default: that of the tool.
    pub level: Option<u32>,
    /// Time of every entry, in seconds since 1970. Default: 0.
    pub mtime: u32,
    /// Folders with permissions of their own.
    pub folder: BTreeMap<String, FolderEntry>,
    /// Files.
    pub file: BTreeMap<String, FileEntry>,
    /// Symbolic links, each with where it leads.
    pub link: BTreeMap<String, String>,
    /// Device nodes.
    pub device: BTreeMap<String, DeviceEntry>,
    /// Named pipes.
    pub fifo: BTreeMap<String, FolderEntry>,
    /// Folders of the host, with all that is in them.
    pub tree: BTreeMap<String, TreeEntry>,
}

/// What an image is compressed in: what Linux takes of it by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// xz, checked by CRC32: Linux takes no other.
    Xz,
}

/// Permissions as text, `"0755"`: a number would be read as a decimal one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mode(pub u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mode = u32::from_str_radix(&text, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o7777);
        let wrong =
            || format!("permissions are octal digits in quotes, like \"0755\", not {text:?}");
        Ok(Self(mode.ok_or_else(wrong)?))
    }
}

/// A folder, or what else has no content.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FolderEntry {
    /// Permissions. Default: 0755 of a folder, 0600 of what is none.
    pub mode: Option<Mode>,
    /// Owner. Default: root.
    pub uid: u32,
    /// Group. Default: root.
    pub gid: u32,
}

/// A file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileEntry {
    /// Where its content is; or `content`.
    pub source: Option<PathBuf>,
    /// Its content; or `source`.
    pub content: Option<String>,
    /// Permissions. Default: 0755 if the source can be executed, else 0644.
    pub mode: Option<Mode>,
    /// Owner. Default: root.
    pub uid: u32,
    /// Group. Default: root.
    pub gid: u32,
    /// Its other names.
    pub names: Vec<String>,
}

/// A device node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEntry {
    /// Which kind.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permissions. Default: 0600.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Owner. Default: root.
    #[serde(default)]
    pub uid: u32,
    /// Group. Default: root.
    #[serde(default)]
    pub gid: u32,
}

/// Which kind of device.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Of characters.
    Character,
    /// Of blocks.
    Block,
}

/// A folder of the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeEntry {
    /// The folder.
    pub source: PathBuf,
    /// Whose the entries are. Default: root's.
    #[serde(default)]
    pub owner: Owner,
}

/// Whose the entries of a tree are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Root's.
    #[default]
    Root,
    /// Those of the files' owners.
    Keep,
}

impl Manifest {
    /// Reads the text of a manifest; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Manifest`] shows the place.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|source| Error::Manifest {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or [`Error::Manifest`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text, path)
    }
}
