//! `cargo xtask dist`: Debian packages of luod with luoctl, and of the client library for C.
//!
//! The programs are static, so the package depends on nothing and does not care which Debian it was made on. Units and
//! scripts of the package are files of `bin/luod`; manual pages and completions come from the programs themselves.

mod installed;
mod library;

pub(crate) use installed::check as check_installed;
pub(crate) use library::library_packages;

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, GzBuilder};

use crate::prerequisites::{self, Purpose};
use crate::workspace::Workspace;

/// Name of the package.
const NAME: &str = "luod";
/// That of the static programs.
const ARCHITECTURE: &str = "amd64";
/// Where the package's documents are.
const DOC: &str = "usr/share/doc/luod";

/// Files of the repository: where from, where to, permission bits.
const FILES: [(&str, &str, u32); 7] = [
    (
        "bin/luod/systemd/luod.service",
        "usr/lib/systemd/system/luod.service",
        0o644,
    ),
    (
        "bin/luod/systemd/luod-pstore.service",
        "usr/lib/systemd/system/luod-pstore.service",
        0o644,
    ),
    (
        "bin/luod/systemd/luod.shutdown",
        "usr/lib/systemd/system-shutdown/luod.shutdown",
        0o755,
    ),
    (
        "bin/luod/debian/copyright",
        "usr/share/doc/luod/copyright",
        0o644,
    ),
    ("LICENSE-MIT", "usr/share/doc/luod/LICENSE-MIT", 0o644),
    ("README.md", "usr/share/doc/luod/README.md", 0o644),
    (
        "svc/luod-api/src/io.liveupdate.Service.varlink",
        "usr/share/doc/luod/io.liveupdate.Service.varlink",
        0o644,
    ),
];
/// Scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// Shells and where they look for completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/luoctl"),
    ("zsh", "usr/share/zsh/vendor-completions/_luoctl"),
    ("fish", "usr/share/fish/vendor_completions.d/luoctl.fish"),
];

/// Makes the package of the static programs in a folder, and gives its path.
pub(crate) fn package(workspace: &Workspace, programs: &Path) -> Result<PathBuf> {
    prerequisites::ensure(&[Purpose::Package])?;
    let staging = tempfile::tempdir().context("make a folder")?;
    let tree = Tree {
        root: staging.path(),
    };
    // Its own folder is private; that of the package's root is not.
    fs::set_permissions(tree.root, Permissions::from_mode(0o755))?;
    for (program, folder) in [("luod", "usr/sbin"), ("luoctl", "usr/bin")] {
        let content = read(&programs.join(program))?;
        tree.add(&format!("{folder}/{program}"), 0o755, &content)?;
    }
    for (from, to, mode) in FILES {
        tree.add(to, mode, &read(&workspace.root.join(from))?)?;
    }
    add_documents(&tree, workspace)?;
    add_generated(&tree, programs)?;
    let debian = workspace.root.join("bin/luod/debian");
    let scripts = SCRIPTS.map(|name| (name, debian.join(name)));
    tree.pack(workspace, NAME, &debian.join("control"), &scripts)
}

/// The changelog and the book.
fn add_documents(tree: &Tree<'_>, workspace: &Workspace) -> Result<()> {
    let changelog = pack(&read(&workspace.root.join("CHANGELOG.md"))?)?;
    tree.add(&format!("{DOC}/changelog.gz"), 0o644, &changelog)?;
    let book = workspace.root.join("docs/src");
    let mut folders = vec![book.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&book)?.display();
            tree.add(&format!("{DOC}/book/{name}"), 0o644, &read(&path)?)?;
        }
    }
    Ok(())
}

/// What the programs say of themselves.
fn add_generated(tree: &Tree<'_>, programs: &Path) -> Result<()> {
    let pages = tempfile::tempdir().context("make a folder")?;
    for (program, section) in [("luod", 8), ("luoctl", 1)] {
        let folder = pages.path().join(program);
        let words = ["man".as_ref(), folder.as_os_str()];
        output(Command::new(programs.join(program)).args(words))?;
        for page in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let page = page?;
            let name = page.file_name();
            let path = format!("usr/share/man/man{section}/{}.gz", name.to_string_lossy());
            tree.add(&path, 0o644, &pack(&read(&page.path())?)?)?;
        }
    }
    for (shell, path) in COMPLETIONS {
        let script = output(Command::new(programs.join("luoctl")).args(["completions", shell]))?;
        tree.add(path, 0o644, &script)?;
    }
    Ok(())
}

/// Runs a program; what it printed.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}", said.trim());
    }
    Ok(output.stdout)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// As Debian packs documents: as small as can be, without a time.
fn pack(content: &[u8]) -> Result<Vec<u8>> {
    let mut packer = GzBuilder::new().write(Vec::new(), Compression::best());
    packer.write_all(content)?;
    Ok(packer.finish()?)
}

/// The package's files before they are packed.
struct Tree<'a> {
    root: &'a Path,
}

impl Tree<'_> {
    fn add(&self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
        file.write_all(content)?;
        Ok(file.set_permissions(Permissions::from_mode(mode))?)
    }

    /// Makes the package `name` of the files so far; `control` has places for what is known only now.
    fn pack(
        &self,
        workspace: &Workspace,
        name: &str,
        control: &Path,
        scripts: &[(&str, PathBuf)],
    ) -> Result<PathBuf> {
        let size = self.size_kib(self.root)?;
        for (script, path) in scripts {
            self.add(&format!("DEBIAN/{script}"), 0o755, &read(path)?)?;
        }
        let version = env!("CARGO_PKG_VERSION");
        let control = String::from_utf8(read(control)?)?
            .replace("@VERSION@", version)
            .replace("@ARCHITECTURE@", ARCHITECTURE)
            .replace("@LIBC@", library::LIBC)
            .replace("@INSTALLED_SIZE@", &size.to_string());
        self.add("DEBIAN/control", 0o644, control.as_bytes())?;
        let folder = workspace.target.join("debian");
        fs::create_dir_all(&folder)?;
        let package = folder.join(format!("{name}_{version}_{ARCHITECTURE}.deb"));
        let mut command = Command::new("dpkg-deb");
        command
            .args(["--root-owner-group", "-Zgzip", "--build"])
            .arg(self.root)
            .arg(&package);
        output(&mut command)?;
        Ok(package)
    }

    /// A symbolic link.
    fn link(&self, path: &str, target: &str) -> Result<()> {
        Ok(symlink(target, self.root.join(path))?)
    }

    fn size_kib(&self, folder: &Path) -> Result<u64> {
        let mut size = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            size += if metadata.is_dir() {
                self.size_kib(&entry.path())?
            } else {
                metadata.len().div_ceil(1024)
            };
        }
        Ok(size)
    }
}
