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
    let cache = Cache::from_env()?;
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
        cache: &cache,
        label: key.clone(),
        source: source.clone(),
        output: folder.join("build"),
    };
    announce(&format!(
        "kernel {key}: configuring and building {}",
        source.display()
    ));
    make.configure(&fragment)?;
    let finished = make.compile()?;
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
    Entry::read(&cache, &folder)
        .map(|entry| entry.kernel)
        .ok_or(Error::Incomplete {
            path: folder,
            what: "finished kernel",
        })
}
