//! The cache folder: where it is, its lock, and how things appear in it whole or not at all.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::error::{Error, io_error};
use crate::progress::announce;

/// Folders under construction begin with this; whoever holds the lock may remove what others left.
const BUILDING_PREFIX: &str = ".building-";

/// The cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Exclusive use of the cache by one build; released on drop.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

impl Cache {
    /// Finds the folder: `$LIVEUPDATE_CACHE`, else `$XDG_CACHE_HOME/liveupdate`, else `~/.cache/liveupdate`.
    ///
    /// # Errors
    /// [`Error::NoCacheFolder`] when no variable is set, [`Error::CachePath`] when kernel makefiles could not work there.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_vars(|name| env::var_os(name))
    }

    fn from_vars(var_fn: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let var = |name| {
            var_fn(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = var("LIVEUPDATE_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|folder| folder.join("liveupdate")))
            .or_else(|| var("HOME").map(|home| home.join(".cache/liveupdate")))
            .ok_or(Error::NoCacheFolder)?;
        let root = std::path::absolute(&root).map_err(io_error("resolve", &root))?;
        if root.to_string_lossy().contains([' ', '\t', '\n', ':']) {
            return Err(Error::CachePath { path: root });
        }
        Ok(Self { root })
    }

    /// Uses the given folder.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Returns the cache folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    pub(crate) fn kernels(&self) -> PathBuf {
        self.root.join("kernels")
    }

    pub(crate) fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// Programs of Debian, unpacked.
    pub(crate) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// What kernels with Rust are built with.
    pub(crate) fn rust(&self) -> PathBuf {
        self.root.join("rust")
    }

    pub(crate) fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }

    /// Root file systems of guests that are whole distributions.
    pub fn roots(&self) -> PathBuf {
        self.root.join("roots")
    }

    pub(crate) fn apt(&self) -> PathBuf {
        self.root.join("apt")
    }

    /// Where the output of a step goes.
    pub fn log(&self, step: &str) -> PathBuf {
        self.root.join("logs").join(format!("{step}.log"))
    }

    /// Waits for exclusive use, then removes what interrupted builds left behind.
    ///
    /// # Errors
    /// [`Error::Io`] with the lock's path.
    pub fn lock(&self) -> Result<CacheLock, Error> {
        fs::create_dir_all(&self.root).map_err(io_error("create", &self.root))?;
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(io_error("create", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                announce(&format!(
                    "waiting for another build that holds {}",
                    path.display()
                ));
                flock(&file, FlockOperation::LockExclusive)
                    .map_err(|errno| io_error("lock", &path)(errno.into()))?;
            }
            other => other.map_err(|errno| io_error("lock", &path)(errno.into()))?,
        }
        for folder in [
            self.sources(),
            self.kernels(),
            self.trees(),
            self.modules(),
            self.programs(),
            self.rust(),
            self.roots(),
        ] {
            remove_unfinished(&folder)?;
        }
        Ok(CacheLock { _file: file })
    }
}

/// Makes a folder inside `parent` that is removed unless [`publish`]ed.
///
/// # Errors
/// [`Error::Io`] with the folder's path.
pub fn begin(parent: &Path) -> Result<TempDir, Error> {
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    tempfile::Builder::new()
        .prefix(BUILDING_PREFIX)
        .tempdir_in(parent)
        .map_err(io_error("create a folder in", parent))
}

/// Gives a folder made by [`begin`] its final name, replacing what was there.
///
/// # Errors
/// [`Error::Io`] with the path that stands in the way.
pub fn publish(folder: TempDir, target: &Path) -> Result<(), Error> {
    // Temporary folders are private to their owner; what is published may be read like any other cache.
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).map_err(io_error("open up", folder.path()))?;
    if target.exists() {
        fs::remove_dir_all(target).map_err(io_error("replace", target))?;
    }
    fs::rename(folder.path(), target).map_err(io_error("name", target))?;
    // The name is gone: there is nothing left to remove.
    let _moved = folder.keep();
    Ok(())
}

fn remove_unfinished(folder: &Path) -> Result<(), Error> {
    for path in folders_in(folder) {
        let is_unfinished = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(BUILDING_PREFIX));
        if is_unfinished {
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

/// Lists the folders in a folder, sorted; none when it does not exist.
pub(crate) fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(vars: &[(&str, &str)]) -> Result<PathBuf, Error> {
        Cache::from_vars(|name| {
            let (_, value) = vars.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(value))
        })
        .map(|cache| cache.root)
    }

    #[test]
    fn own_variable_wins_over_xdg_over_home() {
        let all = [
            ("LIVEUPDATE_CACHE", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c"),
        ];
        assert_eq!(resolved(&all).unwrap(), Path::new("/a"));
        assert_eq!(resolved(&all[1..]).unwrap(), Path::new("/b/liveupdate"));
        assert_eq!(
            resolved(&all[2..]).unwrap(),
            Path::new("/c/.cache/liveupdate")
        );
        assert!(matches!(resolved(&[]), Err(Error::NoCacheFolder)));
        assert!(matches!(
            resolved(&[("HOME", "")]),
            Err(Error::NoCacheFolder)
        ));
    }

    #[test]
    fn a_path_that_makefiles_refuse_is_refused_first() {
        let refused = resolved(&[("LIVEUPDATE_CACHE", "/with space")]);
        assert!(matches!(refused, Err(Error::CachePath { .. })));
    }

    #[test]
    fn the_lock_is_exclusive_and_clears_interrupted_builds() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let left = cache.kernels().join(".building-x");
        let finished = cache.kernels().join("7.3.4-1");
        fs::create_dir_all(left.join("build")).unwrap();
        fs::create_dir_all(&finished).unwrap();
        let lock = cache.lock().unwrap();
        assert!(!left.exists());
        assert!(finished.exists());
        let second = File::create(folder.path().join("lock")).unwrap();
        let attempt = flock(&second, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(attempt, Err(Errno::WOULDBLOCK));
        drop(lock);
        flock(&second, FlockOperation::NonBlockingLockExclusive).unwrap();
    }

    #[test]
    fn an_unpublished_folder_disappears_and_a_published_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("entry");
        drop(begin(folder.path()).unwrap());
        assert!(folders_in(folder.path()).is_empty());
        let fresh = begin(folder.path()).unwrap();
        fs::write(fresh.path().join("file"), "x").unwrap();
        publish(fresh, &target).unwrap();
        assert_eq!(folders_in(folder.path()), std::slice::from_ref(&target));
        assert!(target.join("file").exists());
    }
}
