//! [`WorkTree`]: a copy of the source that patches are applied to and taken from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::lines::with_old_numbers;
use crate::error::Error;

/// Folders and files of a tree that are no source: a tree that was built in has them.
const NO_SOURCE: [&str; 6] = [
    ".git",
    ".config",
    "include/config",
    "include/generated",
    "arch/x86/include/generated",
    ".tmp_versions",
];

/// Whether a copy was up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Same,
    Changed,
}

/// Makes a copy of a tree out of links to its files, or brings one up to date; nobody may write to those in place.
pub(super) fn copy_of_links(from: &Path, to: &Path) -> Result<Freshness, Error> {
    let mut freshness = Freshness::Same;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| Error::Write { path, source }
    };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let (old, new) = (from.join(&folder), to.join(&folder));
        fs::create_dir_all(&new).map_err(failed(&new))?;
        let entries = fs::read_dir(&old).map_err(failed(&old))?;
        for entry in entries {
            let entry = entry.map_err(failed(&old))?;
            let path = folder.join(entry.file_name());
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_made = [".o", ".cmd", ".ko", ".a"]
                .iter()
                .any(|end| name.ends_with(end));
            if is_made || NO_SOURCE.iter().any(|it| path == Path::new(it)) {
                continue;
            }
            let kind = entry.file_type().map_err(failed(&old))?;
            let target = to.join(&path);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                if fs::symlink_metadata(&target).is_err() {
                    let link = fs::read_link(entry.path()).map_err(failed(&target))?;
                    symlink(link, &target).map_err(failed(&target))?;
                }
            } else if !is_same(&entry.path(), &target) {
                link(&entry.path(), &target)?;
                freshness = Freshness::Changed;
            }
        }
    }
    Ok(freshness)
}

/// Whether a file of the copy is the tree's: the same file, or one of the same size and time.
fn is_same(file: &Path, copy: &Path) -> bool {
    let facts = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        let place = (metadata.dev(), metadata.ino());
        Some((place, metadata.len(), metadata.modified().ok()?))
    };
    match (facts(file), facts(copy)) {
        (Some(one), Some(two)) => one.0 == two.0 || (one.1, one.2) == (two.1, two.2),
        _ => false,
    }
}

/// Makes a file of the copy that of the tree.
fn link(file: &Path, copy: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: copy.to_owned(),
        source,
    };
    remove(copy)?;
    if fs::hard_link(file, copy).is_ok() {
        return Ok(());
    }
    // Another file system, or one without links.
    fs::copy(file, copy).map_err(failed)?;
    let time = fs::metadata(file).and_then(|metadata| metadata.modified());
    let set = time.and_then(|time| File::options().append(true).open(copy)?.set_modified(time));
    set.map_err(failed)
}

/// A copy of the source; what was changed in it is put back, at the latest when this is dropped.
#[derive(Debug)]
pub(super) struct WorkTree<'t> {
    tree: &'t Path,
    copy: &'t Path,
    /// What files were; `None` for those that were not there.
    before: BTreeMap<String, Option<Vec<u8>>>,
}

impl<'t> WorkTree<'t> {
    /// A copy of a tree, made by [`copy_of_links`].
    pub(super) fn new(tree: &'t Path, copy: &'t Path) -> Self {
        Self {
            tree,
            copy,
            before: BTreeMap::new(),
        }
    }

    /// Applies patches that touch these files.
    pub(super) fn apply(
        &mut self,
        patches: &[PathBuf],
        touched: &BTreeSet<String>,
    ) -> Result<(), Error> {
        for name in touched {
            let path = self.copy.join(name);
            let before = match fs::read(&path) {
                Ok(bytes) => {
                    // The file is a link to the tree's: it gets contents of its own before anything writes to it.
                    replace(&path, &bytes)?;
                    Some(bytes)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(Error::Read { path, source }),
            };
            self.before.insert(name.clone(), before);
        }
        for patch in patches {
            self.apply_one(patch)?;
        }
        for (name, before) in &self.before {
            let Some(before) = before else {
                continue;
            };
            // A patch may take a file away; then it has no lines.
            let path = self.copy.join(name);
            let Ok(after) = fs::read(&path) else {
                continue;
            };
            let old = String::from_utf8_lossy(before);
            let new = String::from_utf8_lossy(&after);
            replace(&path, with_old_numbers(&old, &new).as_bytes())?;
        }
        Ok(())
    }

    fn apply_one(&self, patch: &Path) -> Result<(), Error> {
        let input = File::open(patch).map_err(|source| Error::Read {
            path: patch.to_owned(),
            source,
        })?;
        let mut command = Command::new("patch");
        command
            .current_dir(self.copy)
            .env("LC_ALL", "C")
            .args(["-p1", "--batch", "--forward", "--fuzz=0"])
            .args(["--no-backup-if-mismatch", "--reject-file=-"])
            .stdin(Stdio::from(input));
        super::kbuild::run(command, "apply the patch", patch)
    }

    /// Puts everything back.
    pub(super) fn restore(&mut self) -> Result<(), Error> {
        while let Some((name, before)) = self.before.pop_first() {
            let copy = self.copy.join(&name);
            match before {
                Some(_) => link(&self.tree.join(&name), &copy)?,
                None => remove(&copy)?,
            }
        }
        Ok(())
    }
}

impl Drop for WorkTree<'_> {
    fn drop(&mut self) {
        // After an error: the next build starts from the tree as it was. If that fails too, it will tell.
        let _told_by_the_next = self.restore();
    }
}

/// Gives a path new contents, whatever else links to the old ones.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    remove(path)?;
    fs::write(path, bytes).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_itself_is_never_written_and_the_copy_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, copy) = (folder.path().join("tree"), folder.path().join("copy"));
        fs::create_dir_all(tree.join("fs")).unwrap();
        fs::create_dir_all(tree.join(".git")).unwrap();
        fs::write(tree.join("fs/x.c"), "one\ntwo\n").unwrap();
        fs::write(tree.join("fs/x.o"), "object").unwrap();
        assert_eq!(copy_of_links(&tree, &copy).unwrap(), Freshness::Changed);
        assert_eq!(copy_of_links(&tree, &copy).unwrap(), Freshness::Same);
        assert!(!copy.join(".git").exists() && !copy.join("fs/x.o").exists());
        let patch = folder.path().join("fix.patch");
        let text = "--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1,2 +1,3 @@\n+zero\n one\n two\n\
                    --- /dev/null\n+++ b/fs/new.c\n@@ -0,0 +1 @@\n+new\n";
        fs::write(&patch, text).unwrap();
        let touched = super::super::patch::touched(&[text.to_owned()]);
        let mut work = WorkTree::new(&tree, &copy);
        work.apply(std::slice::from_ref(&patch), &touched).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(read(&copy.join("fs/x.c")), "zero\n#line 1\none\ntwo\n");
        assert_eq!(read(&copy.join("fs/new.c")), "new\n");
        assert_eq!(read(&tree.join("fs/x.c")), "one\ntwo\n");
        work.restore().unwrap();
        assert_eq!(read(&copy.join("fs/x.c")), "one\ntwo\n");
        assert!(!copy.join("fs/new.c").exists());
        assert_eq!(copy_of_links(&tree, &copy).unwrap(), Freshness::Same);
        // What does not apply is told, and leaves nothing.
        fs::write(&patch, text.replace(" one", " other")).unwrap();
        let mut work = WorkTree::new(&tree, &copy);
        let error = work.apply(&[patch], &touched).unwrap_err().to_string();
        assert!(error.contains("fix.patch"), "{error}");
        drop(work);
        assert_eq!(read(&copy.join("fs/x.c")), "one\ntwo\n");
        // A build that was killed left its patch: that is no copy of the tree.
        replace(&copy.join("fs/x.c"), b"patched").unwrap();
        assert_eq!(copy_of_links(&tree, &copy).unwrap(), Freshness::Changed);
        assert_eq!(read(&copy.join("fs/x.c")), "one\ntwo\n");
    }
}
