//! A program of Debian with the libraries it needs, unpacked and not installed: for tests of programs
//! that are not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, begin, folders_in, publish};
use crate::debian_version::newest;
use crate::error::{Error, io_error};
use crate::logged_command::LoggedCommand;
use crate::private_apt::PrivateApt;
use crate::progress::announce;
use crate::series_build::Freshness;

/// A program of Debian.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DebianProgram {
    /// Name and version of the package, `memcached_1.6.45-1`.
    pub package: String,
    /// Folder with what the package and the libraries install: `usr/bin` and so on.
    pub folder: PathBuf,
}

/// Returns a program's files, fetching them from the mirror when the cache has none.
///
/// # Errors
/// Any [`Error`]; see [`Error::is_mirror_missing`].
pub fn debian_program(package: &str, freshness: Freshness) -> Result<DebianProgram, Error> {
    let cache = Cache::from_env()?;
    if let (Some(found), Freshness::Cached) = (cached(&cache, package), freshness) {
        return Ok(found);
    }
    let _lock = cache.lock()?;
    if let (Some(found), Freshness::Cached) = (cached(&cache, package), freshness) {
        return Ok(found);
    }
    fetch(&cache, package)
}

/// Finds a program's files in the cache.
///
/// # Errors
/// [`Error::NoProgram`]: they are not there.
pub fn locate_program(package: &str) -> Result<DebianProgram, Error> {
    let cache = Cache::from_env()?;
    cached(&cache, package).ok_or_else(|| no_program(package, &[]))
}

fn no_program(package: &str, suites: &[String]) -> Error {
    Error::NoProgram {
        package: package.to_owned(),
        suites: suites.to_owned(),
    }
}

fn cached(cache: &Cache, package: &str) -> Option<DebianProgram> {
    let is_of = |folder: &Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix(package)
            .is_some_and(|rest| rest.starts_with('_'))
    };
    let folder = folders_in(&cache.programs())
        .into_iter()
        .rfind(|folder| is_of(folder) && folder.join("usr").is_dir())?;
    let package = folder.file_name()?.to_string_lossy().into_owned();
    Some(DebianProgram { package, folder })
}

fn fetch(cache: &Cache, package: &str) -> Result<DebianProgram, Error> {
    let apt = PrivateApt::update(cache)?;
    let versions = |package: &str| {
        let offers = apt.offers(package)?;
        newest(offers, |offer| &offer.version)
    };
    let Some(offer) = versions(package)? else {
        return Err(no_program(package, &apt.suites));
    };
    let key = format!("{package}_{}", offer.version);
    announce(&format!("program: {key}"));
    let unpacked = begin(&cache.programs())?;
    let mut wanted = vec![(package.to_owned(), offer.version)];
    for library in apt.libraries_of(package)? {
        if let Some(offer) = versions(&library)? {
            wanted.push((library, offer.version));
        }
    }
    for (package, version) in wanted {
        let download = begin(&cache.programs())?;
        let deb = apt.download(&package, &version, download.path())?;
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(&deb).arg(unpacked.path());
        LoggedCommand::new(
            &format!("{package}: unpack"),
            command,
            cache.log("program-unpack"),
        )
        .run()?;
    }
    let usr = unpacked.path().join("usr");
    fs::metadata(&usr).map_err(io_error("look at", &usr))?;
    let folder = cache.programs().join(&key);
    publish(unpacked, &folder)?;
    Ok(DebianProgram {
        package: key,
        folder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_the_whole_name_of_their_package() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        for name in ["memcached_1.6-1", "memcached-tools_2"] {
            fs::create_dir_all(cache.programs().join(name).join("usr")).unwrap();
        }
        let found = cached(&cache, "memcached").unwrap();
        assert_eq!(found.package, "memcached_1.6-1");
        assert_eq!(cached(&cache, "memcache"), None);
    }
}
