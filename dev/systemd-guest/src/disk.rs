//! A copy of the root file system with files added.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::error::Error;
use crate::root::Root;

/// A disk under construction. Paths of the guest are absolute; folders appear as needed.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    /// Holds what is added by content.
    staged: TempDir,
    folders: BTreeSet<String>,
    script: String,
}

impl Disk {
    /// Starts with everything that is in `root`; the image will be at `image`.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn copy_of(root: &Root, image: &Path) -> Result<Self, Error> {
        // Holes stay holes, which a copy by the standard library does not promise.
        let status = Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .args([&root.image, image])
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                let why = std::io::Error::other(format!("cp: {status}"));
                return Err(Error::io("copy the root file system to", image)(why));
            }
            Err(error) => return Err(Error::io("copy the root file system to", image)(error)),
        }
        let staged =
            TempDir::new().map_err(Error::io("make a folder in", &std::env::temp_dir()))?;
        Ok(Self {
            image: image.to_owned(),
            staged,
            folders: BTreeSet::new(),
            script: String::new(),
        })
    }

    /// Adds a file of the host with these permission bits.
    pub fn file(&mut self, host: &Path, guest: &str, mode: u32) {
        self.folders_above(guest);
        // debugfs has no quoting in paths of the host but double quotes.
        let _infallible = writeln!(
            self.script,
            "rm {guest}\nwrite \"{}\" {guest}",
            host.display()
        );
        let _infallible = writeln!(
            self.script,
            "set_inode_field {guest} mode 0{:o}",
            0o100_000 | mode
        );
        let _infallible = writeln!(self.script, "set_inode_field {guest} uid 0");
        let _infallible = writeln!(self.script, "set_inode_field {guest} gid 0");
    }

    /// Adds a file with this content.
    ///
    /// # Errors
    /// The content cannot be written aside.
    pub fn bytes(&mut self, guest: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let path = self.staged.path().join(guest.replace('/', "_"));
        fs::write(&path, content).map_err(Error::io("write", &path))?;
        self.file(&path, guest, mode);
        Ok(())
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, guest: &str, target: &str) {
        self.folders_above(guest);
        let _infallible = writeln!(self.script, "rm {guest}\nsymlink {guest} {target}");
    }

    /// Puts everything into the image and gives back its path.
    ///
    /// # Errors
    /// [`Error::Debugfs`] with what it said.
    pub fn finish(self) -> Result<PathBuf, Error> {
        let script = self.staged.path().join("debugfs script");
        fs::write(&script, &self.script).map_err(Error::io("write", &script))?;
        let output = Command::new("debugfs")
            .arg("-w")
            .arg("-f")
            .args([&script, &self.image])
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("start debugfs for", &self.image))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said.lines().filter(|line| !is_expected(line)).collect();
        if output.status.success() && said.is_empty() {
            return Ok(self.image.clone());
        }
        Err(Error::Debugfs {
            path: self.image.clone(),
            said: said.join("\n"),
        })
    }

    fn folders_above(&mut self, guest: &str) {
        let ends = guest.match_indices('/').skip(1).map(|(end, _)| end);
        for folder in ends.filter_map(|end| guest.get(..end)) {
            if self.folders.insert(folder.to_owned()) {
                let _infallible = writeln!(self.script, "mkdir {folder}");
            }
        }
    }
}

/// Its version, folders that were there, and files that were not: its exit status tells nothing.
fn is_expected(line: &str) -> bool {
    line.starts_with("debugfs ")
        || line.contains("mkdir: Ext2 directory already exists")
        || line.starts_with("rm: File not found by ext2_lookup")
        || line.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debugfs(image: &Path, request: &str) -> String {
        let output = Command::new("debugfs")
            .args(["-R", request])
            .arg(image)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A small file system of its own stands for the root.
    fn root(folder: &Path) -> Root {
        let image = folder.join("small.ext4");
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(&image)
            .arg("4M")
            .status();
        assert!(made.unwrap().success());
        Root {
            image,
            packages: folder.join("packages"),
        }
    }

    #[test]
    fn what_is_added_is_there_with_its_permissions_and_the_root_is_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(folder.path());
        let before = fs::read(&root.image).unwrap();
        let mut disk = Disk::copy_of(&root, &folder.path().join("disk")).unwrap();
        disk.bytes("/usr/bin/tool", 0o755, b"one").unwrap();
        disk.bytes("/usr/bin/tool", 0o755, b"two").unwrap();
        disk.symlink("/usr/bin/other", "tool");
        // The folders are there by then.
        let root_with_folders = Root {
            image: disk.finish().unwrap(),
            ..root.clone()
        };
        let mut disk = Disk::copy_of(&root_with_folders, &folder.path().join("disk 2")).unwrap();
        disk.bytes("/usr/bin/third", 0o644, b"three").unwrap();
        let image = disk.finish().unwrap();
        assert_eq!(debugfs(&image, "cat /usr/bin/tool"), "two");
        let list = debugfs(&image, "ls -l /usr/bin");
        assert!(list.contains("100755") && list.contains("120777"), "{list}");
        assert_eq!(fs::read(&root.image).unwrap(), before);
    }

    #[test]
    fn a_file_that_does_not_fit_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(folder.path());
        let mut disk = Disk::copy_of(&root, &folder.path().join("disk")).unwrap();
        disk.bytes("/large", 0o644, &vec![1; 8 << 20]).unwrap();
        let error = disk.finish().unwrap_err().to_string();
        assert!(error.contains("debugfs"), "{error}");
    }
}
