//! Builds any kernel tree of the user, out of tree; the tree is never written to.

use std::fs;
use std::path::Path;

use crate::cache::Cache;
use crate::config_hash::ConfigHash;
use crate::error::{Error, io_error};
use crate::fragment::Fragment;
use crate::kernel::{Entry, Kernel};
use crate::kernel_make::{KernelMake, compiler, kernel_version};
use crate::progress::{announce, minutes};
use crate::record::{Origin, Record};
use crate::series_build::collect;

/// Builds the kernel of a tree; objects are kept, so that a second build compiles only what changed in the tree.
///
/// # Errors
/// Any [`Error`]; until the build has succeeded the kernel is not listed.
pub fn build_tree(source: &Path) -> Result<Kernel, Error> {
    build_in(&Cache::from_env()?, source)
}

fn build_in(cache: &Cache, source: &Path) -> Result<Kernel, Error> {
    let source = fs::canonicalize(source).map_err(io_error("find", source))?;
    let is_tree = ["Kconfig", "kernel/Makefile"]
        .iter()
        .all(|file| source.join(file).is_file());
    if !is_tree {
        return Err(Error::NoKernelTree { path: source });
    }
    let version = kernel_version(&source)?;
    let fragment = Fragment::liveupdate();
    let place = ConfigHash::of(source.as_os_str().as_encoded_bytes());
    let key = format!("{version}-{}-{place}", fragment.hash());
    let folder = cache.trees().join(&key);

    let _lock = cache.lock()?;
    fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
    Record::remove(&folder)?;
    let make = KernelMake {
        cache,
        label: key.clone(),
        source: source.clone(),
        output: folder.join("build"),
        rust: None,
    };
    announce(&format!(
        "kernel {key}: configuring and building {}",
        source.display()
    ));
    make.configure(&fragment)?;
    let finished = make.compile(&["bzImage"])?;
    collect(&make, &folder)?;
    let record = Record {
        format: Record::FORMAT,
        version,
        release: make.release()?,
        config_hash: fragment.hash().to_string(),
        origin: Origin::Tree { path: source },
        compiler: compiler()?,
        objects: finished.objects,
        build_seconds: finished.elapsed.as_secs(),
    };
    record.write(&folder)?;
    announce(&format!(
        "kernel {key}: built {} objects in {}",
        finished.objects,
        minutes(finished.elapsed)
    ));
    Entry::read(cache, &folder)
        .map(|entry| entry.kernel)
        .ok_or(Error::Incomplete {
            path: folder,
            what: "finished kernel",
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_tree::FakeTree;

    #[test]
    fn a_tree_is_built_again_when_it_changes_and_is_never_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let tree = FakeTree::create(&folder.path().join("tree"), "7.4.0-rc1");
        let files = tree.files();
        let first = build_in(&cache, tree.path()).unwrap();
        assert_eq!(first.release, "7.4.0-rc1+fake");
        assert_eq!(first.source, fs::canonicalize(tree.path()).unwrap());
        assert_eq!(fs::read_to_string(&first.bzimage).unwrap(), "image 1\n");
        assert_eq!(tree.files(), files);
        tree.set_image("image 2");
        let second = build_in(&cache, tree.path()).unwrap();
        assert_eq!(second.folder, first.folder);
        assert_eq!(fs::read_to_string(&second.bzimage).unwrap(), "image 2\n");
    }

    #[test]
    fn a_failed_rebuild_is_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let tree = FakeTree::create(&folder.path().join("tree"), "7.4.0");
        let kernel = build_in(&cache, tree.path()).unwrap();
        assert!(Entry::read(&cache, &kernel.folder).is_some());
        tree.break_build();
        let error = build_in(&cache, tree.path()).unwrap_err();
        assert!(error.to_string().contains("fake compile error"), "{error}");
        assert!(Entry::read(&cache, &kernel.folder).is_none());
    }

    #[test]
    fn an_option_that_olddefconfig_drops_stops_the_build_before_it_compiles() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let tree = FakeTree::create(&folder.path().join("tree"), "7.4.0");
        tree.drop_option("CONFIG_LIVEUPDATE_MEMFD");
        tree.break_build();
        let Err(Error::ConfigLost { lost, .. }) = build_in(&cache, tree.path()) else {
            panic!("the lost option went unnoticed")
        };
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].option, "CONFIG_LIVEUPDATE_MEMFD");
    }

    #[test]
    fn a_folder_that_is_no_kernel_tree_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let refused = build_in(&cache, folder.path());
        assert!(matches!(refused, Err(Error::NoKernelTree { .. })));
    }
}
