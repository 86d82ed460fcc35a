//! Builds the newest kernel of a series into the cache.

use std::fs;
use std::path::Path;

use crate::cache::{Cache, begin, publish};
use crate::error::{Error, io_error};
use crate::flavour::Flavour;
use crate::kernel::{Entry, Kernel, locate_in};
use crate::kernel_make::{KernelMake, compiler};
use crate::package_source::{PackageSource, from_mirror, unpacked};
use crate::progress::{announce, minutes};
use crate::record::{Origin, Record};
use crate::series::KernelSeries;

/// Whether what the cache has is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Use what is there, without contacting the mirror.
    Cached,
    /// Ask the mirror for the newest release.
    Refresh,
}

/// Returns the kernel of a series, building it when the cache has none with the current configuration.
///
/// # Errors
/// Any [`Error`]; an interrupted or failed build leaves nothing that looks finished.
pub fn build_series(series: KernelSeries, freshness: Freshness) -> Result<Kernel, Error> {
    build_flavour(series, Flavour::Liveupdate, freshness)
}

/// Like [`build_series`], for any flavour.
///
/// # Errors
/// Any [`Error`]; an interrupted or failed build leaves nothing that looks finished.
pub fn build_flavour(
    series: KernelSeries,
    flavour: Flavour,
    freshness: Freshness,
) -> Result<Kernel, Error> {
    build_in(&Cache::from_env()?, series, flavour, freshness)
}

fn build_in(
    cache: &Cache,
    series: KernelSeries,
    flavour: Flavour,
    freshness: Freshness,
) -> Result<Kernel, Error> {
    let finished = || match freshness {
        Freshness::Cached => locate_in(cache, series, flavour),
        Freshness::Refresh => Ok(None),
    };
    if let Some(kernel) = finished()? {
        return Ok(kernel);
    }
    let _lock = cache.lock()?;
    // Another run may have built it while this one waited.
    if let Some(kernel) = finished()? {
        return Ok(kernel);
    }
    let source = match freshness {
        Freshness::Cached => unpacked(cache, series)?,
        Freshness::Refresh => None,
    };
    let source = match source {
        Some(source) => source,
        None => from_mirror(cache, series)?,
    };
    let fragment = flavour.fragment();
    let target = cache
        .kernels()
        .join(format!("{}-{}", source.version, fragment.hash()));
    if let Some(entry) = Entry::read(cache, &target) {
        return Ok(entry.kernel);
    }
    build(cache, series, &source, flavour, &target)?;
    Entry::read(cache, &target)
        .map(|entry| entry.kernel)
        .ok_or(Error::Incomplete {
            path: target,
            what: "finished kernel",
        })
}

fn build(
    cache: &Cache,
    series: KernelSeries,
    source: &PackageSource,
    flavour: Flavour,
    target: &Path,
) -> Result<(), Error> {
    let fragment = flavour.fragment();
    let folder = begin(&cache.kernels())?;
    let make = KernelMake {
        cache,
        label: source.version.clone(),
        source: source.folder.clone(),
        output: folder.path().join("build"),
        rust: flavour.toolchain(cache)?,
    };
    announce(&format!(
        "kernel {} for {}: configuring and building",
        source.version,
        flavour.name()
    ));
    make.configure(&fragment)?;
    let finished = flavour.compile(&make)?;
    let record = Record {
        format: Record::FORMAT,
        version: source.version.clone(),
        release: make.release()?,
        config_hash: fragment.hash().to_string(),
        origin: Origin::Package {
            name: series.package(),
        },
        compiler: compiler()?,
        objects: finished.objects,
        build_seconds: finished.elapsed.as_secs(),
    };
    collect(&make, folder.path())?;
    flavour.collect(&make, folder.path())?;
    prune(&make.output, flavour.kept())?;
    record.write(folder.path())?;
    publish(folder, target)?;
    announce(&format!(
        "kernel {}: built {} objects in {}",
        source.version,
        finished.objects,
        minutes(finished.elapsed)
    ));
    Ok(())
}

/// Copies what a kernel's users need out of the output folder.
pub(crate) fn collect(make: &KernelMake<'_>, folder: &Path) -> Result<(), Error> {
    let output = &make.output;
    for (from, name) in [
        (make.image(), "bzImage"),
        (output.join("System.map"), "System.map"),
        (output.join(".config"), "config"),
    ] {
        fs::copy(&from, folder.join(name)).map_err(io_error("copy", &from))?;
    }
    Ok(())
}

/// Removes all of an output folder but the headers and what else is kept.
fn prune(output: &Path, also_kept: &[&str]) -> Result<(), Error> {
    const KEPT: [&str; 4] = ["include", "arch/x86/include", "usr/include", ".config"];
    prune_below(output, output, &[&KEPT, also_kept].concat())
}

fn prune_below(root: &Path, folder: &Path, kept: &[&str]) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let path = entry.map_err(io_error("list", folder))?.path();
        let inner = path.strip_prefix(root).unwrap_or(&path);
        if kept.iter().any(|kept| inner == Path::new(kept)) {
            continue;
        }
        let leads_to_kept = kept.iter().any(|kept| Path::new(kept).starts_with(inner));
        if leads_to_kept {
            prune_below(root, &path, kept)?;
        } else if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        } else {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::cache::folders_in;
    use crate::fake_tree::FakeTree;

    #[test]
    fn an_unpacked_source_is_built_once_and_without_the_mirror() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let tree = FakeTree::create(&cache.sources().join("7.3.9-1~bpo13+1"), "7.3.9");
        let kernel = build_in(
            &cache,
            KernelSeries::V7_3,
            Flavour::Liveupdate,
            Freshness::Cached,
        )
        .unwrap();
        assert_eq!(
            (kernel.version.as_str(), kernel.release.as_str()),
            ("7.3.9-1~bpo13+1", "7.3.9+fake")
        );
        assert!(
            kernel
                .headers
                .join("usr/include/linux/liveupdate.h")
                .exists()
        );
        assert!(kernel.headers.join("include/generated/autoconf.h").exists());
        tree.break_build();
        let again = build_in(
            &cache,
            KernelSeries::V7_3,
            Flavour::Liveupdate,
            Freshness::Cached,
        )
        .unwrap();
        assert_eq!(again.bzimage, kernel.bzimage);
    }

    #[test]
    fn a_failed_build_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let tree = FakeTree::create(&cache.sources().join("7.3.9-1"), "7.3.9");
        tree.break_build();
        let error = build_in(
            &cache,
            KernelSeries::V7_3,
            Flavour::Liveupdate,
            Freshness::Cached,
        )
        .unwrap_err();
        assert!(error.to_string().contains("fake compile error"), "{error}");
        assert!(folders_in(&cache.kernels()).is_empty());
    }

    #[test]
    fn pruning_keeps_headers_and_never_follows_links() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        let output = folder.path().join("build");
        for file in [
            "include/generated/autoconf.h",
            "arch/x86/include/generated/asm/x.h",
            "arch/x86/boot/bzImage",
            "usr/include/linux/liveupdate.h",
            "usr/init.o",
            "kernel/gone.o",
            "kernel/kept/module.o",
            "vmlinux",
            ".config",
        ] {
            let path = output.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("Makefile"), "").unwrap();
        symlink(&source, output.join("source")).unwrap();
        prune(&output, &["kernel/kept"]).unwrap();
        for kept in [
            "include/generated/autoconf.h",
            "arch/x86/include/generated/asm/x.h",
            "usr/include/linux/liveupdate.h",
            "kernel/kept/module.o",
            ".config",
        ] {
            assert!(output.join(kept).exists(), "{kept}");
        }
        for gone in [
            "arch/x86/boot",
            "usr/init.o",
            "kernel/gone.o",
            "vmlinux",
            "source",
        ] {
            assert!(!output.join(gone).exists(), "{gone}");
        }
        assert!(source.join("Makefile").exists());
    }
}
