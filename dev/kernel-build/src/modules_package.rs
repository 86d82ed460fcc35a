//! The modules of a Debian kernel, unpacked: a thousand real ones, for what reads modules.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::cache::{Cache, begin, folders_in, publish};
use crate::debian_version::newest;
use crate::error::{Error, io_error};
use crate::logged_command::LoggedCommand;
use crate::private_apt::PrivateApt;
use crate::progress::announce;
use crate::series::KernelSeries;
use crate::series_build::Freshness;

/// The flavour with the fewest modules, some thousand: 23 MB to download.
const FLAVOUR: &str = "cloud-amd64";

/// Modules of a Debian kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DebianModules {
    /// Name and version of the package, `linux-modules-7.2.13+deb14-cloud-amd64_7.2.13-1`.
    pub package: String,
    /// Folder with the modules, unpacked `.ko` files.
    pub folder: PathBuf,
}

/// Returns the modules of a Debian kernel, fetching them from the mirror when the cache has none.
///
/// # Errors
/// Any [`Error`]; see [`Error::is_mirror_missing`].
pub fn debian_modules(freshness: Freshness) -> Result<DebianModules, Error> {
    let cache = Cache::from_env()?;
    if let (Some(found), Freshness::Cached) = (cached(&cache), freshness) {
        return Ok(found);
    }
    let _lock = cache.lock()?;
    if let (Some(found), Freshness::Cached) = (cached(&cache), freshness) {
        return Ok(found);
    }
    fetch(&cache)
}

fn cached(cache: &Cache) -> Option<DebianModules> {
    let folder = folders_in(&cache.modules())
        .into_iter()
        .rfind(|folder| folder.join("kernel").is_dir())?;
    let package = folder.file_name()?.to_string_lossy().into_owned();
    Some(DebianModules { package, folder })
}

fn fetch(cache: &Cache) -> Result<DebianModules, Error> {
    let apt = PrivateApt::update(cache)?;
    let mut offers = Vec::new();
    for series in KernelSeries::ALL {
        let pattern = format!(
            "^linux-modules-{}[.+].*-{FLAVOUR}$",
            series.name().replace('.', "[.]")
        );
        for package in apt.names(&pattern)? {
            let versions = apt.offers(&package)?;
            offers.extend(
                versions
                    .into_iter()
                    .map(|offer| (package.clone(), offer.version)),
            );
        }
        // The older series is the one whose numbers the book has; any will do.
        if !offers.is_empty() {
            break;
        }
    }
    let Some((package, version)) = newest(offers, |(_, version)| version)? else {
        return Err(Error::NoModules { suites: apt.suites });
    };
    let key = format!("{package}_{version}");
    announce(&format!("modules: {key}"));
    let target = cache.modules().join(&key);
    let download = begin(&cache.modules())?;
    let deb = apt.download(&package, &version, download.path())?;
    let step = format!("{key}: unpack");
    let mut command = Command::new("dpkg-deb");
    command.arg("-x").arg(&deb).arg(download.path());
    LoggedCommand::new(&step, command, cache.log("modules-open")).run()?;
    let releases = folders_in(&download.path().join("usr/lib/modules"));
    let Some(release) = releases
        .into_iter()
        .find(|folder| folder.join("kernel").is_dir())
    else {
        let what = "folder of modules";
        return Err(Error::Incomplete { path: deb, what });
    };
    let mut command = Command::new("find");
    command
        .arg(&release)
        .args(["-name", "*.ko.xz", "-exec", "xz", "-d", "-T1", "{}", "+"]);
    LoggedCommand::new(&step, command, cache.log("modules-unpack")).run()?;
    let unpacked = begin(&cache.modules())?;
    let kernel = unpacked.path().join("kernel");
    fs::rename(release.join("kernel"), &kernel).map_err(io_error("move", &kernel))?;
    publish(unpacked, &target)?;
    Ok(DebianModules {
        package: key,
        folder: target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_without_a_mirror() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        assert_eq!(cached(&cache), None);
        fs::create_dir_all(cache.modules().join("linux-modules-a_1/kernel")).unwrap();
        fs::create_dir_all(cache.modules().join("linux-modules-b_1")).unwrap();
        let found = cached(&cache).unwrap();
        assert_eq!(found.package, "linux-modules-a_1");
        assert!(found.folder.ends_with("linux-modules-a_1"));
    }
}
