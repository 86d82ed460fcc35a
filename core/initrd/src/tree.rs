//! The root as it is once an image is unpacked: `do_name()`, `do_symlink()`, `maybe_link()` and
//! `clean_path()` of `init/initramfs.c`, v7.3.
//!
//! A later entry takes the place of an earlier one, names of one file share it, links are followed
//! on the way to an entry, and an entry whose folder is not there is left out without a word. The
//! last is what [`Loss`] is for.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::reader::{EntryKind, ReadEntry};

/// Longest name of one entry in its folder (`NAME_MAX`, `include/uapi/linux/limits.h`).
const NAME_MAX: usize = 255;
/// Links that are followed on the way (`MAXSYMLINKS`, `include/linux/namei.h`).
const MAX_LINKS: usize = 40;
/// The root folder's place in [`Tree::nodes`].
const ROOT: usize = 0;

/// What the kernel made of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<T> {
    /// What it is.
    pub kind: EntryKind,
    /// Type and permissions, as in `stat(2)`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970, of a kernel with `CONFIG_INITRAMFS_PRESERVE_MTIME`.
    pub mtime: u32,
    /// The device of a device node: major, minor.
    pub device: (u32, u32),
    /// Where a symbolic link leads.
    pub target: Vec<u8>,
    /// Bytes of a file.
    pub bytes: usize,
    /// What the caller said of the content of a file when it was last written.
    pub content: T,
    /// Its names, of what is no folder.
    pub names: u32,
    children: BTreeMap<Vec<u8>, usize>,
}

/// Why an entry of an image is not in the root; the kernel says none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The folder it lies in is not there, or not yet.
    #[error("its folder is not there when it is its turn")]
    NoFolder,
    /// What should be its folder is something else.
    #[error("what should be its folder is none")]
    NotAFolder,
    /// Links on the way lead in a circle.
    #[error("too many symbolic links on the way to it")]
    TooManyLinks,
    /// A part of its name is longer than 255 bytes.
    #[error("a part of its name is longer than 255 bytes")]
    NameTooLong,
    /// A folder that is not empty has its name.
    #[error("a folder that is not empty has its name")]
    FolderInTheWay,
    /// It is one more name of something, and that has its first name no longer.
    #[error("the name it should be a hard link to is gone")]
    NoFirstName,
    /// It should be a link to the root, or take its place.
    #[error("it has the name of the root folder")]
    IsRoot,
}

/// A root under construction; `T` is what is kept of the content of a file.
#[derive(Clone, Debug)]
pub struct Tree<T> {
    nodes: Vec<Node<T>>,
    /// First names of what may have more, up to the next end mark: by device, inode and kind.
    links: BTreeMap<((u32, u32, u32), u32), Vec<u8>>,
}

impl<T: Clone + Default> Default for Tree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Default> Tree<T> {
    /// The root as the archive inside of a kernel leaves it: `dev`, `dev/console` and `root`
    /// (`usr/default_cpio_list`, v7.3).
    #[must_use]
    pub fn new() -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            links: BTreeMap::new(),
        };
        tree.nodes.push(Node::bare(EntryKind::Folder, 0o040_755));
        for (name, kind, mode, device) in [
            (&b"dev"[..], EntryKind::Folder, 0o040_755, (0, 0)),
            (
                b"dev/console",
                EntryKind::CharacterDevice,
                0o020_600,
                (5, 1),
            ),
            (b"root", EntryKind::Folder, 0o040_700, (0, 0)),
        ] {
            let mut node = Node::bare(kind, mode);
            node.device = device;
            let made = tree
                .place(name)
                .map(|(folder, name)| tree.hang(folder, name, node));
            debug_assert!(made.is_ok(), "the list is in order");
        }
        tree
    }

    /// Unpacks an entry, with what the caller wants to keep of its content.
    ///
    /// # Errors
    /// [`Loss`]: it is not in the root, and the kernel goes on.
    pub fn unpack(&mut self, entry: &ReadEntry<'_>, content: T) -> Result<(), Loss> {
        let (folder, name) = self.place(entry.name)?;
        if name.is_empty() {
            return self.unpack_root(entry);
        }
        let is_link = entry.kind == EntryKind::Symlink;
        self.clean(folder, &name, (!is_link).then_some(entry.kind));
        let known = self.child(folder, &name);
        match entry.kind {
            EntryKind::Symlink => {
                if known.is_some() {
                    return Err(Loss::FolderInTheWay);
                }
                let mut node = Node::of(entry);
                node.target = until_nul(entry.content).to_vec();
                self.hang(folder, name, node);
                Ok(())
            }
            EntryKind::Folder => match known {
                Some(node) => self.renew(node, entry),
                None => {
                    self.hang(folder, name, Node::of(entry));
                    Ok(())
                }
            },
            EntryKind::File => self.unpack_file(folder, name, entry, content),
            EntryKind::CharacterDevice
            | EntryKind::BlockDevice
            | EntryKind::Fifo
            | EntryKind::Socket => self.unpack_special(folder, name, entry),
        }
    }

    /// An end mark: hard links do not reach over it.
    pub fn end_archive(&mut self) {
        self.links.clear();
    }

    /// What has a name, which may lead over links; the last part is not followed.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Node<T>> {
        let (folder, name) = self.place(name).ok()?;
        let found = if name.is_empty() {
            Some(folder)
        } else {
            self.child(folder, &name)
        };
        self.nodes.get(found?)
    }

    /// What a name leads to, over links also at its end.
    #[must_use]
    pub fn follow(&self, name: &[u8]) -> Option<&Node<T>> {
        let mut path = name.to_vec();
        for _ in 0..MAX_LINKS {
            let node = self.find(&path)?;
            if node.kind != EntryKind::Symlink {
                return Some(node);
            }
            let end = path.iter().rposition(|&byte| byte == b'/');
            let folder = end.and_then(|end| path.get(..end)).unwrap_or_default();
            path = match node.target.first() {
                Some(b'/') => node.target.clone(),
                _ => [folder, b"/", &node.target].concat(),
            };
        }
        None
    }

    /// Everything but the root itself, each with its name from the root, a folder before what lies
    /// in it.
    pub fn walk<'t>(&'t self, visit: &mut dyn FnMut(&[u8], &'t Node<T>)) {
        // Not by recursion: a name may have two thousand parts.
        let mut open = Vec::new();
        let mut path = Vec::new();
        open.extend(self.nodes.get(ROOT).map(|root| (root.children.iter(), 0)));
        while let Some((children, path_bytes)) = open.last_mut() {
            path.truncate(*path_bytes);
            let Some((name, &index)) = children.next() else {
                open.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            if let Some(node) = self.nodes.get(index) {
                visit(&path, node);
                open.push((node.children.iter(), path.len()));
            }
        }
    }

    fn unpack_root(&mut self, entry: &ReadEntry<'_>) -> Result<(), Loss> {
        if entry.kind == EntryKind::Folder {
            self.renew(ROOT, entry)
        } else {
            Err(Loss::IsRoot)
        }
    }

    fn unpack_file(
        &mut self,
        folder: usize,
        name: Vec<u8>,
        entry: &ReadEntry<'_>,
        content: T,
    ) -> Result<(), Loss> {
        if let Some(file) = self.linked(folder, &name, entry)? {
            // Content may come with any of the names; one without leaves what is there.
            self.renew(file, entry)?;
            if let Some(node) = self.nodes.get_mut(file)
                && entry.bytes != 0
            {
                (node.bytes, node.content) = (entry.bytes, content);
            }
            return Ok(());
        }
        let file = match self.child(folder, &name) {
            Some(known) if self.kind(known) == Some(EntryKind::File) => {
                self.renew(known, entry)?;
                known
            }
            Some(_) => return Err(Loss::FolderInTheWay),
            None => self.hang(folder, name, Node::of(entry)),
        };
        if let Some(node) = self.nodes.get_mut(file) {
            (node.bytes, node.content) = (entry.bytes, content);
        }
        self.remember(entry);
        Ok(())
    }

    fn unpack_special(
        &mut self,
        folder: usize,
        name: Vec<u8>,
        entry: &ReadEntry<'_>,
    ) -> Result<(), Loss> {
        if self.linked(folder, &name, entry)?.is_some() {
            return Ok(());
        }
        match self.child(folder, &name) {
            // mknod() fails, and what is there gets owner and permissions.
            Some(known) if self.kind(known) == Some(entry.kind) => {
                self.renew(known, entry)?;
            }
            Some(_) => return Err(Loss::FolderInTheWay),
            None => {
                self.hang(folder, name, Node::of(entry));
            }
        }
        self.remember(entry);
        Ok(())
    }

    /// `maybe_link()`: one more name of what came before.
    fn linked(
        &mut self,
        folder: usize,
        name: &[u8],
        entry: &ReadEntry<'_>,
    ) -> Result<Option<usize>, Loss> {
        let known = self.links.get(&(entry.inode, entry.mode & 0o170_000));
        let Some(first) = known.filter(|_| entry.nlink >= 2).cloned() else {
            return Ok(None);
        };
        self.clean(folder, name, None);
        if self.child(folder, name).is_some() {
            return Err(Loss::FolderInTheWay);
        }
        // The kernel links by name: something else may have it by now, or nothing.
        let (place, first) = self.place(&first)?;
        let known = self.child(place, &first).ok_or(Loss::NoFirstName)?;
        let node = self.nodes.get_mut(known).ok_or(Loss::NoFirstName)?;
        if node.kind != entry.kind {
            return Err(Loss::NoFirstName);
        }
        node.names = node.names.saturating_add(1);
        if let Some(folder) = self.nodes.get_mut(folder) {
            folder.children.insert(name.to_vec(), known);
        }
        Ok(Some(known))
    }

    fn remember(&mut self, entry: &ReadEntry<'_>) {
        if entry.nlink >= 2 {
            let key = (entry.inode, entry.mode & 0o170_000);
            self.links.insert(key, entry.name.to_vec());
        }
    }

    /// `clean_path()`: removes what has the name, unless it is of the kind to keep.
    fn clean(&mut self, folder: usize, name: &[u8], keep: Option<EntryKind>) {
        let Some(known) = self.child(folder, name) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(known) else {
            return;
        };
        if Some(node.kind) == keep || !node.children.is_empty() {
            return;
        }
        node.names = node.names.saturating_sub(1);
        if let Some(folder) = self.nodes.get_mut(folder) {
            folder.children.remove(name);
        }
    }

    fn renew(&mut self, node: usize, entry: &ReadEntry<'_>) -> Result<(), Loss> {
        let node = self.nodes.get_mut(node).ok_or(Loss::NoFolder)?;
        node.mode = entry.mode;
        (node.uid, node.gid, node.mtime) = (entry.uid, entry.gid, entry.mtime);
        Ok(())
    }

    fn hang(&mut self, folder: usize, name: Vec<u8>, node: Node<T>) -> usize {
        let index = self.nodes.len();
        self.nodes.push(node);
        if let Some(folder) = self.nodes.get_mut(folder) {
            folder.children.insert(name, index);
        }
        index
    }

    fn kind(&self, node: usize) -> Option<EntryKind> {
        Some(self.nodes.get(node)?.kind)
    }

    fn child(&self, folder: usize, name: &[u8]) -> Option<usize> {
        self.nodes.get(folder)?.children.get(name).copied()
    }

    /// The folder of a name and its last part, which is empty for the root and for what ends in
    /// `..`.
    fn place(&self, name: &[u8]) -> Result<(usize, Vec<u8>), Loss> {
        let mut walk = Walk {
            path: Vec::new(),
            links: 0,
        };
        let mut parts: Vec<&[u8]> = name.split(|&byte| byte == b'/').collect();
        parts.retain(|part| !matches!(part, [] | [b'.']));
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            walk.step(self, part)?;
        }
        if last == b".." {
            walk.step(self, last)?;
            return Ok((walk.folder(), Vec::new()));
        }
        if last.len() > NAME_MAX {
            return Err(Loss::NameTooLong);
        }
        Ok((walk.folder(), last.to_vec()))
    }
}

impl<T: Default> Node<T> {
    fn bare(kind: EntryKind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            device: (0, 0),
            target: Vec::new(),
            bytes: 0,
            content: T::default(),
            names: 1,
            children: BTreeMap::new(),
        }
    }

    fn of(entry: &ReadEntry<'_>) -> Self {
        let mut node = Self::bare(entry.kind, entry.mode);
        (node.uid, node.gid, node.mtime) = (entry.uid, entry.gid, entry.mtime);
        if matches!(
            entry.kind,
            EntryKind::CharacterDevice | EntryKind::BlockDevice
        ) {
            node.device = entry.device;
        }
        node
    }
}

/// A way through folders.
struct Walk {
    /// Folders from below the root.
    path: Vec<usize>,
    /// Links that were followed.
    links: usize,
}

impl Walk {
    fn folder(&self) -> usize {
        self.path.last().copied().unwrap_or(ROOT)
    }

    fn step<T: Clone + Default>(&mut self, tree: &Tree<T>, part: &[u8]) -> Result<(), Loss> {
        // What is left of links on the way, the nearest last.
        let mut rest: Vec<Vec<u8>> = Vec::new();
        rest.push(part.to_vec());
        while let Some(part) = rest.pop() {
            match &part[..] {
                [] | [b'.'] => continue,
                b".." => {
                    self.path.pop();
                    continue;
                }
                name if name.len() > NAME_MAX => return Err(Loss::NameTooLong),
                _ => {}
            }
            let next = tree.child(self.folder(), &part).ok_or(Loss::NoFolder)?;
            let node = tree.nodes.get(next).ok_or(Loss::NoFolder)?;
            match node.kind {
                EntryKind::Folder => self.path.push(next),
                EntryKind::Symlink => {
                    self.links = self.links.saturating_add(1);
                    if self.links > MAX_LINKS {
                        return Err(Loss::TooManyLinks);
                    }
                    if node.target.first() == Some(&b'/') {
                        self.path.clear();
                    }
                    let parts = node.target.split(|&byte| byte == b'/');
                    rest.extend(parts.rev().map(<[u8]>::to_vec));
                }
                _ => return Err(Loss::NotAFolder),
            }
        }
        Ok(())
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
