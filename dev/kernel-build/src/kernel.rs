//! Finished kernels in the cache, and how tests find the one they need.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, folders_in};
use crate::debian_version::newest;
use crate::error::{Error, NotBuilt};
use crate::flavour::Flavour;
use crate::record::{Origin, Record};
use crate::selftests;
use crate::series::KernelSeries;

/// A kernel that is ready to boot and to compile against.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Kernel {
    /// Package version, or the tree's `make kernelversion`.
    pub version: String,
    /// What `uname -r` prints under it.
    pub release: String,
    /// The bootable image.
    pub bzimage: PathBuf,
    /// Symbols and their link addresses.
    pub system_map: PathBuf,
    /// The source tree it was built from.
    pub source: PathBuf,
    /// Its `.config`.
    pub config: PathBuf,
    /// Build folder with the prepared headers: `include/`, `arch/x86/include/`, `usr/include/`.
    pub headers: PathBuf,
    /// Its folder in the cache.
    pub folder: PathBuf,
}

impl Kernel {
    /// Returns the folder with the [`SELFTEST_PROGRAMS`](crate::SELFTEST_PROGRAMS) of
    /// `tools/testing/selftests/liveupdate`, static, built from this kernel's source; builds them on first use.
    ///
    /// # Errors
    /// [`Error::Step`] when they do not compile.
    pub fn selftests(&self) -> Result<PathBuf, Error> {
        selftests::build(&Cache::from_env()?, self)
    }
}

/// A finished kernel with its record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Name of its folder in the cache.
    pub key: String,
    /// What it is.
    pub record: Record,
    /// Its files.
    pub kernel: Kernel,
}

impl Entry {
    /// Reads the entry of a folder; `None` when it is not finished or lost a file.
    pub(crate) fn read(cache: &Cache, folder: &Path) -> Option<Self> {
        let record = Record::read(folder)?;
        let source = match &record.origin {
            Origin::Package { .. } => cache.sources().join(&record.version),
            Origin::Tree { path } => path.clone(),
        };
        let kernel = Kernel {
            version: record.version.clone(),
            release: record.release.clone(),
            bzimage: folder.join("bzImage"),
            system_map: folder.join("System.map"),
            source,
            config: folder.join("config"),
            headers: folder.join("build"),
            folder: folder.to_owned(),
        };
        let is_whole = [
            &kernel.bzimage,
            &kernel.config,
            &kernel.source,
            &kernel.headers,
        ]
        .iter()
        .all(|path| path.exists());
        let key = folder.file_name()?.to_string_lossy().into_owned();
        is_whole.then_some(Self {
            key,
            record,
            kernel,
        })
    }

    /// Tells whether today's fragment and recipe would build the same.
    pub fn is_current(&self) -> bool {
        self.flavour().is_some()
    }

    /// Returns what it was built for, when its configuration is today's.
    pub fn flavour(&self) -> Option<Flavour> {
        Flavour::ALL
            .into_iter()
            .find(|flavour| self.record.config_hash == flavour.fragment().hash().to_string())
    }

    /// Returns the series it belongs to, for a kernel from a package.
    pub fn series(&self) -> Option<KernelSeries> {
        let Origin::Package { name } = &self.record.origin else {
            return None;
        };
        KernelSeries::ALL
            .into_iter()
            .find(|series| series.package() == *name)
    }
}

/// Lists every finished kernel.
///
/// # Errors
/// When the cache folder cannot be determined.
pub fn entries() -> Result<Vec<Entry>, Error> {
    Ok(entries_in(&Cache::from_env()?))
}

fn entries_in(cache: &Cache) -> Vec<Entry> {
    [cache.kernels(), cache.trees()]
        .iter()
        .flat_map(|folder| folders_in(folder))
        .filter_map(|folder| Entry::read(cache, &folder))
        .collect()
}

/// Finds the newest finished kernel of a series, with the current configuration, without any network.
///
/// # Errors
/// [`NotBuilt`] says the command that builds it.
pub fn locate(series: KernelSeries) -> Result<Kernel, NotBuilt> {
    locate_flavour(series, Flavour::Liveupdate)
}

/// Like [`locate`], for any flavour.
///
/// # Errors
/// [`NotBuilt`] says the command that builds it.
pub fn locate_flavour(series: KernelSeries, flavour: Flavour) -> Result<Kernel, NotBuilt> {
    let as_not_built = |source| NotBuilt::Cache { series, source };
    let cache = Cache::from_env().map_err(as_not_built)?;
    locate_in(&cache, series, flavour)
        .map_err(as_not_built)?
        .ok_or_else(|| NotBuilt::Missing {
            series,
            flavour,
            cache: cache.root().to_owned(),
        })
}

pub(crate) fn locate_in(
    cache: &Cache,
    series: KernelSeries,
    flavour: Flavour,
) -> Result<Option<Kernel>, Error> {
    let candidates = entries_in(cache)
        .into_iter()
        .filter(|entry| entry.series() == Some(series) && entry.flavour() == Some(flavour));
    let entry = newest(candidates, |entry| &entry.record.version)?;
    Ok(entry.map(|entry| entry.kernel))
}

/// Finds a finished kernel by the name of its folder.
///
/// # Errors
/// [`Error::UnknownKey`] when there is none.
pub fn locate_key(key: &str) -> Result<Kernel, Error> {
    entries()?
        .into_iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.kernel)
        .ok_or_else(|| Error::UnknownKey {
            key: key.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fragment::Fragment;

    fn record(version: &str, config_hash: &str) -> Record {
        Record {
            format: Record::FORMAT,
            version: version.into(),
            release: "7.3".into(),
            config_hash: config_hash.into(),
            origin: Origin::Package {
                name: KernelSeries::V7_3.package(),
            },
            compiler: "gcc".into(),
            objects: 1,
            build_seconds: 1,
        }
    }

    fn finished(cache: &Cache, version: &str, config_hash: &str) -> PathBuf {
        let folder = cache.kernels().join(format!("{version}-{config_hash}"));
        fs::create_dir_all(folder.join("build")).unwrap();
        fs::create_dir_all(cache.sources().join(version)).unwrap();
        fs::write(folder.join("bzImage"), "").unwrap();
        fs::write(folder.join("config"), "").unwrap();
        record(version, config_hash).write(&folder).unwrap();
        folder
    }

    #[test]
    fn the_newest_finished_kernel_with_the_current_configuration_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let current = Fragment::liveupdate().hash().to_string();
        let located = || {
            let kernel = locate_in(&cache, KernelSeries::V7_3, Flavour::Liveupdate).unwrap();
            kernel.map(|kernel| kernel.version)
        };
        assert_eq!(located(), None);
        finished(&cache, "7.3.9-1", &current);
        finished(&cache, "7.3.11-1", "0123456789abcdef");
        assert_eq!(located().unwrap(), "7.3.9-1");
        let newer = finished(&cache, "7.3.10-1", &current);
        assert_eq!(located().unwrap(), "7.3.10-1");
        let other = |series, flavour| locate_in(&cache, series, flavour).unwrap();
        assert!(other(KernelSeries::V7_2, Flavour::Liveupdate).is_none());
        assert!(other(KernelSeries::V7_3, Flavour::Livepatch).is_none());
        fs::remove_file(newer.join("bzImage")).unwrap();
        assert_eq!(
            located().unwrap(),
            "7.3.9-1",
            "an entry that lost its image is not finished"
        );
    }

    #[test]
    fn a_folder_without_a_record_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let current = Fragment::liveupdate().hash().to_string();
        let entry = finished(&cache, "7.3.9-1", &current);
        Record::remove(&entry).unwrap();
        Record::remove(&entry).unwrap();
        assert!(entries_in(&cache).is_empty());
        fs::write(entry.join("kernel.json"), "{\"format\":").unwrap();
        assert!(entries_in(&cache).is_empty(), "a torn record is no record");
    }
}
