//! The module of a change, by the kernel's own build.

use std::fs;
use std::path::{Path, PathBuf};

use super::Replace;
use super::kbuild::Kbuild;
use crate::error::Error;

/// The object of the module for one object of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) object: String,
    pub(super) bytes: Vec<u8>,
}

/// What reads the records and enables the patch (`scripts/livepatch/init.c`, v7.3).
const INIT: &str = "scripts/livepatch/init.c";

/// Builds the module, makes its livepatch relocations, and returns where it is.
pub(super) fn build(
    kbuild: &Kbuild,
    name: &str,
    replace: Replace,
    parts: &[Part],
    symvers: &[u8],
    keep: Option<&Path>,
) -> Result<PathBuf, Error> {
    let folder = kbuild.module_folder()?;
    let write = |file: String, bytes: &[u8]| {
        let path = folder.join(file);
        fs::write(&path, bytes).map_err(|source| Error::Write { path, source })
    };
    let init = kbuild.source().join(INIT);
    let text = fs::read(&init).map_err(|source| Error::Read { path: init, source })?;
    write("init.c".to_owned(), &text)?;
    let mut objects = String::from("init.o");
    for part in parts {
        let object = format!("{}_diff.o", part.object);
        // The second name tells make that the object is not compiled, the command that it is up to date.
        write(object.clone(), &part.bytes)?;
        write(format!("{object}_shipped"), &part.bytes)?;
        write(format!(".{object}.cmd"), b"")?;
        objects.push(' ');
        objects.push_str(&object);
    }
    let makefile = format!("obj-m := {name}.o\n{name}-y := {objects}\n");
    write("Kbuild".to_owned(), makefile.as_bytes())?;
    let flags = match replace {
        Replace::All => "",
        Replace::None => "-DKLP_NO_REPLACE",
    };
    kbuild.make_module(&folder, flags, symvers)?;
    let path = folder.join(format!("{name}.ko"));
    let bytes = fs::read(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    let linked = klp_module::link(&bytes).map_err(|source| Error::Link {
        path: path.clone(),
        source,
    })?;
    if let Some(keep) = keep {
        crate::write_whole(&keep.join(format!("{name}.unfinished.ko")), &bytes)?;
    }
    let finished = folder.join(format!("{name}.finished.ko"));
    crate::write_whole(&finished, &linked.bytes)?;
    Ok(finished)
}
