//! The client library for C: `libliveupdate0` for programs that run, `libliveupdate-dev` for those that are built.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Tree, read};
use crate::prerequisites::{self, Purpose};
use crate::workspace::Workspace;

/// Debian's name for the processor, in paths.
pub(super) const MULTIARCH: &str = "x86_64-linux-gnu";
/// The name by which programs ask for the library; `svc/liveupdate-c/build.rs` gives it the same.
pub(super) const SONAME: &str = "libliveupdate.so.0";
/// The C library that the packages depend on; `@LIBC@` in their control files.
pub(super) const LIBC: &str = "2.36";
const EXAMPLES: [&str; 2] = ["counter.c", "direct.c"];

/// Makes both packages of the library built in `folder`, and gives their paths.
pub(crate) fn library_packages(workspace: &Workspace, folder: &Path) -> Result<[PathBuf; 2]> {
    prerequisites::ensure(&[Purpose::Package])?;
    let source = workspace.root.join("svc/liveupdate-c");
    let libraries = format!("usr/lib/{MULTIARCH}");
    let running = in_tree(workspace, "libliveupdate0", |tree| {
        let content = read(&folder.join("libliveupdate_c.so"))?;
        tree.add(&format!("{libraries}/{SONAME}"), 0o644, &content)
    })?;
    let building = in_tree(workspace, "libliveupdate-dev", |tree| {
        let header = read(&source.join("include/liveupdate.h"))?;
        tree.add("usr/include/liveupdate.h", 0o644, &header)?;
        let archive = read(&folder.join("libliveupdate_c.a"))?;
        tree.add(&format!("{libraries}/libliveupdate.a"), 0o644, &archive)?;
        tree.link(&format!("{libraries}/libliveupdate.so"), SONAME)?;
        let description = String::from_utf8(read(&source.join("liveupdate.pc.in"))?)?
            .replace("@MULTIARCH@", MULTIARCH)
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        let path = format!("{libraries}/pkgconfig/liveupdate.pc");
        tree.add(&path, 0o644, description.as_bytes())?;
        for name in EXAMPLES {
            let example = read(&source.join("examples").join(name))?;
            let path = format!("usr/share/doc/libliveupdate-dev/examples/{name}");
            tree.add(&path, 0o644, &example)?;
        }
        Ok(())
    })?;
    Ok([running, building])
}

/// Makes the package `name` of what is added, with its copyright.
fn in_tree(
    workspace: &Workspace,
    name: &str,
    add_fn: impl FnOnce(&Tree<'_>) -> Result<()>,
) -> Result<PathBuf> {
    let staging = tempfile::tempdir().context("make a folder")?;
    let root = staging.path();
    // Its own folder is private; that of the package's root is not.
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    let tree = Tree { root };
    add_fn(&tree)?;
    let copyright = read(&workspace.root.join("bin/luod/debian/copyright"))?;
    tree.add(
        &format!("usr/share/doc/{name}/copyright"),
        0o644,
        &copyright,
    )?;
    let debian = workspace.root.join("svc/liveupdate-c/debian");
    tree.pack(
        workspace,
        name,
        &debian.join(format!("{name}.control")),
        &[],
    )
}
