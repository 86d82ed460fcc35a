//! The kernel's own live-update selftests, built static from a kernel's source tree.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, begin, publish};
use crate::error::{Error, io_error};
use crate::kernel::Kernel;
use crate::kernel_make::make;
use crate::logged_command::LoggedCommand;
use crate::record::{Origin, Record};

/// Programs of `tools/testing/selftests/liveupdate/Makefile` (7.2.13 and 7.3.4).
pub const SELFTEST_PROGRAMS: [&str; 5] = [
    "liveupdate",
    "luo_kexec_simple",
    "luo_multi_session",
    "luo_stress_files",
    "luo_stress_sessions",
];

/// Those of them with a stage before a jump and one after it, and what each prints at its end when all is well
/// (`tools/testing/selftests/liveupdate/luo_*.c`, v7.2 and v7.3).
pub const JUMP_SELFTESTS: [(&str, &str); 4] = [
    ("luo_kexec_simple", "--- SIMPLE KEXEC TEST PASSED ---"),
    (
        "luo_multi_session",
        "--- MULTI-SESSION KEXEC TEST PASSED ---",
    ),
    (
        "luo_stress_files",
        "--- MANY-FILES KEXEC TEST PASSED (500 files) ---",
    ),
    (
        "luo_stress_sessions",
        "--- MANY-SESSIONS KEXEC TEST PASSED (2000 sessions) ---",
    ),
];

const SELFTESTS: &str = "tools/testing/selftests";

/// Returns the folder with the programs; of a package's kernel they are built once, of a user's tree each time.
pub(crate) fn build(cache: &Cache, kernel: &Kernel) -> Result<PathBuf, Error> {
    let target = kernel.folder.join("selftests");
    let is_package = Record::read(&kernel.folder)
        .is_some_and(|record| matches!(record.origin, Origin::Package { .. }));
    let is_built = || is_package && target.is_dir();
    if is_built() {
        return Ok(target);
    }
    let _lock = cache.lock()?;
    // Another run may have built them while this one waited.
    if is_built() {
        return Ok(target);
    }
    let scratch = begin(&cache.kernels())?;
    let tree = scratch.path().join("tree");
    shadow_tree(&kernel.source, &tree)?;
    let programs = tree.join(SELFTESTS).join("liveupdate");

    let mut command = make();
    let headers = kernel.headers.join("usr/include");
    command
        .arg("-C")
        .arg(&programs)
        .arg(format!("KHDR_INCLUDES=-isystem {}", headers.display()))
        .arg("LDFLAGS=-static");
    let step = format!("kernel {}: selftests", kernel.version);
    let log = cache.log(&format!("{}-selftests", kernel.version));
    LoggedCommand::new(&step, command, log).run()?;

    let finished = begin(&cache.kernels())?;
    for program in SELFTEST_PROGRAMS {
        let from = programs.join(program);
        fs::copy(&from, finished.path().join(program)).map_err(io_error("copy", &from))?;
    }
    publish(finished, &target)?;
    Ok(target)
}

/// Makes a tree of links to the source with its own copy of the live-update selftests.
///
/// Their Makefile writes objects next to the source; with the copy, the source stays as it is.
fn shadow_tree(source: &Path, tree: &Path) -> Result<(), Error> {
    let mut inner = PathBuf::new();
    for next in ["tools", "testing", "selftests", "liveupdate"] {
        link_all_but(&source.join(&inner), &tree.join(&inner), next)?;
        inner.push(next);
    }
    copy_folder(&source.join(&inner), &tree.join(&inner))
}

fn link_all_but(from: &Path, to: &Path, except: &str) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(io_error("create", to))?;
    for entry in fs::read_dir(from).map_err(io_error("list", from))? {
        let name = entry.map_err(io_error("list", from))?.file_name();
        if name != except {
            let link = to.join(&name);
            symlink(from.join(&name), &link).map_err(io_error("link", &link))?;
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(io_error("create", to))?;
    for entry in fs::read_dir(from).map_err(io_error("list", from))? {
        let path = entry.map_err(io_error("list", from))?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).map_err(io_error("copy", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shadow_reads_the_source_and_writes_its_own_selftests() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        let own = source.join(SELFTESTS).join("liveupdate/lib");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("lib.c"), "x").unwrap();
        fs::write(source.join(SELFTESTS).join("lib.mk"), "mk").unwrap();
        fs::write(source.join("Makefile"), "top").unwrap();
        let tree = folder.path().join("tree");
        shadow_tree(&source, &tree).unwrap();
        assert_eq!(fs::read(tree.join("Makefile")).unwrap(), b"top");
        assert_eq!(
            fs::read(tree.join(SELFTESTS).join("lib.mk")).unwrap(),
            b"mk"
        );
        fs::write(tree.join(SELFTESTS).join("liveupdate/lib/lib.o"), "o").unwrap();
        assert!(!own.join("lib.o").exists());
    }
}
