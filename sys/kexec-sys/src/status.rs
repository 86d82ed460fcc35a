//! What is loaded, and the limits on loading.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel shows it.
#[derive(Clone, Debug)]
pub struct KexecPaths {
    sys: PathBuf,
    sysctl: PathBuf,
}

impl Default for KexecPaths {
    fn default() -> Self {
        Self {
            sys: "/sys/kernel".into(),
            sysctl: "/proc/sys/kernel".into(),
        }
    }
}

/// The loading limits, `Documentation/admin-guide/sysctl/kernel.rst`, v7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// `kernel.kexec_load_disabled`: no load at all until the next boot.
    pub is_disabled: bool,
    /// `kernel.kexec_load_limit_reboot`: loads and unloads left; `None` without a limit or where
    /// the kernel has none.
    pub left: Option<u32>,
}

impl LoadLimits {
    /// Whether a load followed by an unload (a cancelled update) is possible.
    pub fn allow_load_and_unload(&self) -> bool {
        !self.is_disabled && self.left.is_none_or(|left| left >= 2)
    }
}

impl KexecPaths {
    /// Other folders than `/sys/kernel` and `/proc/sys/kernel`.
    pub const fn new(sys: PathBuf, sysctl: PathBuf) -> Self {
        Self { sys, sysctl }
    }

    /// Whether an image is loaded: `/sys/kernel/kexec/loaded`, before v7.0 `/sys/kernel/kexec_loaded`.
    ///
    /// # Errors
    /// Neither file can be read: a kernel without kexec, or no sysfs.
    pub fn is_loaded(&self) -> io::Result<bool> {
        self.flag("kexec/loaded", "kexec_loaded")
    }

    /// Whether a crash image is loaded: `kexec/crash_loaded`, before `kexec_crash_loaded`.
    ///
    /// # Errors
    /// As [`Self::is_loaded`].
    pub fn is_crash_loaded(&self) -> io::Result<bool> {
        self.flag("kexec/crash_loaded", "kexec_crash_loaded")
    }

    /// The limits on loading; what the kernel does not show counts as not limited.
    ///
    /// # Errors
    /// A file that is there and cannot be read or understood.
    pub fn load_limits(&self) -> io::Result<LoadLimits> {
        let disabled = read_number(&self.sysctl.join("kexec_load_disabled"))?;
        let left = read_number(&self.sysctl.join("kexec_load_limit_reboot"))?;
        Ok(LoadLimits {
            is_disabled: disabled.is_some_and(|value| value != 0),
            // -1 says no limit.
            left: left.and_then(|value| u32::try_from(value).ok()),
        })
    }

    fn flag(&self, name: &str, old_name: &str) -> io::Result<bool> {
        for name in [name, old_name] {
            if let Some(value) = read_number(&self.sys.join(name))? {
                return Ok(value != 0);
            }
        }
        let path = self.sys.join(name);
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "{} is not there: is kexec built in and sysfs mounted?",
                path.display()
            ),
        ))
    }
}

fn read_number(path: &Path) -> io::Result<Option<i64>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    text.trim().parse().map(Some).map_err(|_error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{}: `{}` is no number",
                path.display(),
                text.trim().escape_debug()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(files: &[(&str, &str)]) -> (tempfile::TempDir, KexecPaths) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let paths = KexecPaths::new(dir.path().join("sys"), dir.path().join("sysctl"));
        (dir, paths)
    }

    #[test]
    fn the_new_name_wins_and_the_old_one_is_the_fallback() {
        let (_dir, new) = paths(&[("sys/kexec/loaded", "1\n"), ("sys/kexec_loaded", "0\n")]);
        assert!(new.is_loaded().unwrap());
        let (_dir, old) = paths(&[("sys/kexec_loaded", "1\n")]);
        assert!(old.is_loaded().unwrap());
        let (_dir, none) = paths(&[]);
        assert_eq!(
            none.is_loaded().unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn limits_are_read_and_minus_one_is_none() {
        let (_dir, none) = paths(&[("sysctl/kexec_load_limit_reboot", "-1\n")]);
        assert!(none.load_limits().unwrap().allow_load_and_unload());
        let (_dir, one) = paths(&[("sysctl/kexec_load_limit_reboot", "1\n")]);
        assert!(!one.load_limits().unwrap().allow_load_and_unload());
        let (_dir, off) = paths(&[("sysctl/kexec_load_disabled", "1\n")]);
        assert!(off.load_limits().unwrap().is_disabled);
    }

    #[test]
    fn nonsense_in_a_limit_is_an_error_and_not_a_zero() {
        let (_dir, paths) = paths(&[("sysctl/kexec_load_disabled", "maybe")]);
        let error = paths.load_limits().unwrap_err();
        assert!(error.to_string().contains("maybe"), "{error}");
    }
}
