//! The entries of an image, in their order: folders, then all else, each by name. The same manifest and
//! files always give the same.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use initrd::{Attributes, Device, Permissions};
use rustix::fs::{major, minor};

use crate::error::Error;
use crate::manifest::{
    DeviceEntry, DeviceKind, FileEntry, FolderEntry, Manifest, Mode, Owner, TreeEntry,
};

/// Files whose names are looked at before they are known to be one file.
type Inode = (u64, u64);

/// What is to be written.
#[derive(Debug, Default)]
pub struct Plan {
    pub(crate) folders: BTreeMap<String, Attributes>,
    pub(crate) entries: BTreeMap<String, (Attributes, What)>,
    mtime: u32,
}

/// An entry that is no folder.
#[derive(Debug)]
pub(crate) enum What {
    File { source: Source, names: Vec<String> },
    Symlink(String),
    Device(Device),
    Fifo,
}

/// Where a content is.
#[derive(Debug)]
pub(crate) enum Source {
    Content(Vec<u8>),
    File { path: PathBuf, bytes: u64 },
}

impl Plan {
    /// Looks at everything that a manifest names; `base` is what its paths are relative to.
    ///
    /// # Errors
    /// A source cannot be looked at, or a name is taken or is none.
    pub fn new(manifest: &Manifest, base: &Path) -> Result<Self, Error> {
        let mut plan = Self {
            mtime: manifest.mtime,
            ..Self::default()
        };
        for (path, tree) in &manifest.tree {
            plan.tree(path, tree, base)?;
        }
        for (path, folder) in &manifest.folder {
            let attributes = plan.attributes(folder, Permissions::PROGRAM);
            plan.folders.insert(name_of(path)?, attributes);
        }
        for (path, file) in &manifest.file {
            plan.file(path, file, base)?;
        }
        for (path, target) in &manifest.link {
            let all = plan.with_time(Permissions::from_mode(0o777));
            plan.add(name_of(path)?, all, What::Symlink(target.clone()))?;
        }
        for (path, device) in &manifest.device {
            plan.device(path, device)?;
        }
        for (path, fifo) in &manifest.fifo {
            let attributes = plan.attributes(fifo, Permissions::PRIVATE);
            plan.add(name_of(path)?, attributes, What::Fifo)?;
        }
        plan.imply_folders();
        Ok(plan)
    }

    /// Names that the plan makes, folders and all else.
    #[must_use]
    pub fn len(&self) -> usize {
        let others = self.entries.values().map(|(_, what)| match what {
            What::File { names, .. } => names.len(),
            _ => 0,
        });
        self.folders.len() + self.entries.len() + others.sum::<usize>()
    }

    /// Whether nothing is planned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with_time(&self, permissions: Permissions) -> Attributes {
        Attributes {
            mtime: self.mtime,
            ..permissions.into()
        }
    }

    fn attributes(&self, entry: &FolderEntry, default: Permissions) -> Attributes {
        Attributes {
            uid: entry.uid,
            gid: entry.gid,
            ..self.with_time(permissions(entry.mode, default))
        }
    }

    fn add(&mut self, name: String, attributes: Attributes, what: What) -> Result<(), Error> {
        if self.folders.contains_key(&name) || self.entries.contains_key(&name) {
            let why = "there are two entries of this name".to_owned();
            return Err(Error::Value { name, why });
        }
        self.entries.insert(name, (attributes, what));
        Ok(())
    }

    fn file(&mut self, path: &str, file: &FileEntry, base: &Path) -> Result<(), Error> {
        let (source, can_run) = match (&file.source, &file.content) {
            (Some(source), None) => {
                let path = base.join(source);
                let found = fs::metadata(&path).map_err(Error::file("look at", &path))?;
                if !found.is_file() {
                    return Err(Error::Value {
                        name: source.display().to_string(),
                        why: "it is no file".to_owned(),
                    });
                }
                let can_run = found.permissions().mode() & 0o111 != 0;
                let bytes = found.len();
                (Source::File { path, bytes }, can_run)
            }
            (None, Some(content)) => (Source::Content(content.clone().into_bytes()), false),
            _ => {
                return Err(Error::Value {
                    name: path.to_owned(),
                    why: "a file has either `source` or `content`".to_owned(),
                });
            }
        };
        let default = if can_run {
            Permissions::PROGRAM
        } else {
            Permissions::DATA
        };
        let attributes = Attributes {
            uid: file.uid,
            gid: file.gid,
            ..self.with_time(permissions(file.mode, default))
        };
        let names = file.names.iter().map(|name| name_of(name));
        let names = names.collect::<Result<_, _>>()?;
        self.add(name_of(path)?, attributes, What::File { source, names })
    }

    fn device(&mut self, path: &str, device: &DeviceEntry) -> Result<(), Error> {
        let (major, minor) = (device.major, device.minor);
        let node = match device.kind {
            DeviceKind::Character => Device::Character { major, minor },
            DeviceKind::Block => Device::Block { major, minor },
        };
        let attributes = Attributes {
            uid: device.uid,
            gid: device.gid,
            ..self.with_time(permissions(device.mode, Permissions::PRIVATE))
        };
        self.add(name_of(path)?, attributes, What::Device(node))
    }

    fn tree(&mut self, path: &str, tree: &TreeEntry, base: &Path) -> Result<(), Error> {
        let top = path.trim_matches('/').to_owned();
        let mut open = vec![(top, base.join(&tree.source))];
        let mut first_names: BTreeMap<Inode, String> = BTreeMap::new();
        while let Some((name, folder)) = open.pop() {
            let found = fs::metadata(&folder).map_err(Error::file("look at", &folder))?;
            if !name.is_empty() {
                let attributes = self.found(&found, tree.owner);
                self.folders.insert(name.clone(), attributes);
            }
            let entries = fs::read_dir(&folder).map_err(Error::file("list", &folder))?;
            let entries = entries.collect::<Result<Vec<_>, _>>();
            let mut entries = entries.map_err(Error::file("list", &folder))?;
            // Which of several names is the first must not depend on the file system.
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let path = entry.path();
                let file_name = entry.file_name();
                let file_name = file_name
                    .to_str()
                    .ok_or_else(|| Error::Name { path: path.clone() })?;
                let name = format!("{name}/{file_name}");
                let name = name.trim_start_matches('/').to_owned();
                let found = fs::symlink_metadata(&path).map_err(Error::file("look at", &path))?;
                if found.is_dir() {
                    open.push((name, path));
                } else {
                    self.tree_entry(name, path, &found, tree.owner, &mut first_names)?;
                }
            }
        }
        Ok(())
    }

    fn tree_entry(
        &mut self,
        name: String,
        path: PathBuf,
        found: &Metadata,
        owner: Owner,
        first_names: &mut BTreeMap<Inode, String>,
    ) -> Result<(), Error> {
        let kind = found.file_type();
        let device = || (major(found.rdev()), minor(found.rdev()));
        let what = if kind.is_file() {
            let inode = (found.dev(), found.ino());
            if found.nlink() > 1 {
                if let Some(first) = first_names.get(&inode) {
                    if let Some((_, What::File { names, .. })) = self.entries.get_mut(first) {
                        names.push(name);
                        return Ok(());
                    }
                }
                first_names.insert(inode, name.clone());
            }
            let bytes = found.len();
            What::File {
                source: Source::File { path, bytes },
                names: Vec::new(),
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(Error::file("read the link", &path))?;
            let target = target.into_os_string().into_string();
            What::Symlink(target.map_err(|_not_text| Error::Name { path })?)
        } else if kind.is_char_device() {
            let (major, minor) = device();
            What::Device(Device::Character { major, minor })
        } else if kind.is_block_device() {
            let (major, minor) = device();
            What::Device(Device::Block { major, minor })
        } else if kind.is_fifo() {
            What::Fifo
        } else {
            // A socket is of no use without the program that made it.
            return Ok(());
        };
        let mut attributes = self.found(found, owner);
        if kind.is_symlink() {
            attributes.permissions = Permissions::from_mode(0o777);
        }
        self.add(name, attributes, what)
    }

    fn found(&self, found: &Metadata, owner: Owner) -> Attributes {
        let (uid, gid) = match owner {
            Owner::Root => (0, 0),
            Owner::Keep => (found.uid(), found.gid()),
        };
        Attributes {
            uid,
            gid,
            ..self.with_time(Permissions::from_mode(found.mode()))
        }
    }

    fn imply_folders(&mut self) {
        let names = self.entries.iter().flat_map(|(name, (_, what))| {
            let others = match what {
                What::File { names, .. } => &names[..],
                _ => &[],
            };
            [name].into_iter().chain(others)
        });
        let names: Vec<_> = names.chain(self.folders.keys()).cloned().collect();
        for name in names {
            for (end, _) in name.match_indices('/') {
                let Some(folder) = name.get(..end) else {
                    continue;
                };
                if !self.folders.contains_key(folder) {
                    let attributes = self.with_time(Permissions::PROGRAM);
                    self.folders.insert(folder.to_owned(), attributes);
                }
            }
        }
    }
}

fn permissions(mode: Option<Mode>, default: Permissions) -> Permissions {
    mode.map_or(default, |mode| Permissions::from_mode(mode.0))
}

/// A path of the manifest as the archive has it.
fn name_of(path: &str) -> Result<String, Error> {
    let name = path.trim_matches('/');
    if name.is_empty() {
        return Err(Error::Value {
            name: path.to_owned(),
            why: "the root folder has no entry".to_owned(),
        });
    }
    Ok(name.to_owned())
}
