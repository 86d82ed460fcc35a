//! Source trees from Debian's `linux-source-*` packages, unpacked once per package version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, begin, folders_in, publish};
use crate::debian_version::newest;
use crate::error::{Error, io_error};
use crate::logged_command::LoggedCommand;
use crate::private_apt::{Offer, PrivateApt};
use crate::progress::announce;
use crate::series::KernelSeries;

/// An unpacked source package.
#[derive(Clone, Debug)]
pub(crate) struct PackageSource {
    /// Debian version.
    pub(crate) version: String,
    /// The tree.
    pub(crate) folder: PathBuf,
}

/// Returns the newest tree of a series that is already unpacked.
pub(crate) fn unpacked(
    cache: &Cache,
    series: KernelSeries,
) -> Result<Option<PackageSource>, Error> {
    let sources = folders_in(&cache.sources())
        .into_iter()
        .filter_map(|folder| {
            let version = folder.file_name()?.to_str()?.to_owned();
            series
                .has_release(&version)
                .then_some(PackageSource { version, folder })
        });
    newest(sources, |source| &source.version)
}

/// Returns the newest tree of a series that the mirror has, downloading and unpacking it when needed.
///
/// The caller holds the cache's lock.
pub(crate) fn from_mirror(cache: &Cache, series: KernelSeries) -> Result<PackageSource, Error> {
    let apt = PrivateApt::update(cache)?;
    let package = series.package();
    let Some(offer) = newest_release(series, apt.offers(&package)?)? else {
        return Err(Error::NoRelease {
            series,
            suites: apt.suites,
        });
    };
    announce(&format!(
        "kernel {series}: newest is {package} {} in {}",
        offer.version, offer.suite
    ));
    let folder = cache.sources().join(&offer.version);
    if !folder.exists() {
        unpack(cache, &apt, &package, &offer.version, &folder)?;
    }
    Ok(PackageSource {
        version: offer.version,
        folder,
    })
}

fn newest_release(series: KernelSeries, offers: Vec<Offer>) -> Result<Option<Offer>, Error> {
    let releases = offers
        .into_iter()
        .filter(|offer| series.has_release(&offer.version));
    newest(releases, |offer| &offer.version)
}

fn unpack(
    cache: &Cache,
    apt: &PrivateApt<'_>,
    package: &str,
    version: &str,
    target: &Path,
) -> Result<(), Error> {
    let sources = cache.sources();
    let download = begin(&sources)?;
    let deb = apt.download(package, version, download.path())?;
    let step = format!("{package} {version}: unpack");

    let mut command = Command::new("dpkg-deb");
    command.arg("-x").arg(&deb).arg(download.path());
    LoggedCommand::new(&step, command, cache.log(&format!("{package}-open"))).run()?;
    let archive = download.path().join(format!("usr/src/{package}.tar.xz"));
    if !archive.exists() {
        return Err(Error::Incomplete {
            path: deb,
            what: "source archive",
        });
    }

    let tree = begin(&sources)?;
    let mut command = Command::new("tar");
    command
        .args([
            "--use-compress-program=xz -T0",
            "--strip-components=1",
            "--no-same-owner",
        ])
        .arg("-C")
        .arg(tree.path())
        .arg("-xf")
        .arg(&archive);
    LoggedCommand::new(&step, command, cache.log(&format!("{package}-unpack"))).run()?;
    publish(tree, target)?;
    fs::remove_dir_all(download.path()).map_err(io_error("remove", download.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(version: &str) -> Offer {
        Offer {
            version: version.into(),
            suite: "s/main".into(),
        }
    }

    #[test]
    fn a_release_candidate_never_wins() {
        let offers = vec![offer("7.3.4-1~bpo13+1"), offer("7.3~rc7-1~exp1")];
        let best = newest_release(KernelSeries::V7_3, offers).unwrap();
        assert_eq!(best.unwrap().version, "7.3.4-1~bpo13+1");
        let only = newest_release(KernelSeries::V7_3, vec![offer("7.3~rc7-1~exp1")]);
        assert_eq!(only.unwrap(), None);
    }

    #[test]
    fn unpacked_trees_are_found_by_series() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        assert!(unpacked(&cache, KernelSeries::V7_2).unwrap().is_none());
        for version in ["7.2.9-1", "7.2.13-1", "7.3.4-1", ".building-7"] {
            fs::create_dir_all(cache.sources().join(version)).unwrap();
        }
        let found = unpacked(&cache, KernelSeries::V7_2).unwrap().unwrap();
        assert_eq!(found.version, "7.2.13-1");
    }
}
