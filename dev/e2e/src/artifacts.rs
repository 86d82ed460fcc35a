//! Where kernels and guest programs come from. The only place that knows.

use std::fs;
use std::path::{Path, PathBuf};

use kernel_build::{Flavour, KernelSeries, ModuleSource, locate_flavour, locate_module};

use crate::luo_emu::{self, Emulation};

/// Folder of the guest programs in cargo's target folder: where `cargo xtask guest` builds them.
const GUEST_PROGRAMS: &str = "x86_64-unknown-linux-gnu/guest";

/// A kernel image that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// Its release, as `uname -r` will print it.
    pub release: String,
    /// Its `System.map`.
    pub system_map: PathBuf,
}

impl From<kernel_build::Kernel> for Kernel {
    fn from(kernel: kernel_build::Kernel) -> Self {
        Self {
            image: kernel.bzimage,
            release: kernel.release,
            system_map: kernel.system_map,
        }
    }
}

impl Kernel {
    /// Link address of a symbol: where it is under `nokaslr`.
    ///
    /// # Errors
    /// [`Missing`] when there is no such symbol.
    pub fn symbol(&self, name: &str) -> Result<u64, Missing> {
        let missing = || Missing {
            what: format!("the symbol {name} in {}", self.system_map.display()),
            remedy: "build the kernel anew with `cargo xtask kernel build --refresh`".to_owned(),
        };
        let map = fs::read_to_string(&self.system_map).map_err(|_unreadable| missing())?;
        let line = map.lines().find_map(|line| {
            let mut words = line.split(' ');
            let address = words.next()?;
            (words.nth(1) == Some(name)).then_some(address)
        });
        let address = line.and_then(|address| u64::from_str_radix(address, 16).ok());
        address.ok_or_else(missing)
    }
}

/// Something that has to be built first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not there: {remedy}")]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// Finds the newest kernel of a series in the cache of kernels.
///
/// # Errors
/// [`Missing`] says how to build it.
pub fn kernel(series: KernelSeries) -> Result<Kernel, Missing> {
    Ok(Kernel::from(built(series)?))
}

/// Finds the newest kernel of a series that loads modules in Rust, and the pstore backend of `kmod/` for it.
///
/// # Errors
/// [`Missing`] says how to build them.
pub fn pstore_kho(series: KernelSeries) -> Result<(Kernel, PathBuf), Missing> {
    let kernel = locate_flavour(series, Flavour::Rust).map_err(|error| Missing {
        what: format!("the kernel {series}.x for modules in Rust"),
        remedy: error.to_string(),
    })?;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = ModuleSource::pstore_kho(&repository);
    let module = locate_module(&kernel, &source).map_err(|error| Missing {
        what: format!("the module pstore_kho for {}", kernel.version),
        remedy: error.to_string(),
    })?;
    Ok((Kernel::from(kernel), module))
}

/// Finds a statically linked program for the guest.
///
/// # Errors
/// [`Missing`] says how to build it.
pub fn guest_program(name: &str) -> Result<PathBuf, Missing> {
    let missing = |found: &str| Missing {
        what: format!("the guest program {name}"),
        remedy: format!("{found}; build it with `cargo xtask guest`"),
    };
    let own = std::env::current_exe().map_err(|error| missing(&error.to_string()))?;
    let target = target_folder(&own)
        .ok_or_else(|| missing(&format!("{} is not in a target folder", own.display())))?;
    let path = target.join(GUEST_PROGRAMS).join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(missing(&format!("{} does not exist", path.display())))
}

/// Finds the Debian package of luod.
///
/// # Errors
/// [`Missing`] says how to make it.
pub fn package() -> Result<PathBuf, Missing> {
    let missing = |found: &str| Missing {
        what: "the Debian package of luod".to_owned(),
        remedy: format!("{found}; make it with `cargo xtask dist`"),
    };
    let own = std::env::current_exe().map_err(|error| missing(&error.to_string()))?;
    let target = target_folder(&own)
        .ok_or_else(|| missing(&format!("{} is not in a target folder", own.display())))?;
    let name = format!("luod_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    let path = target.join("debian").join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(missing(&format!("{} does not exist", path.display())))
}

/// Finds the folder of the kernel's own live-update test programs; builds them from the source of
/// the series' kernel when they are not in the cache yet.
///
/// # Errors
/// [`Missing`] says what to build, or how building them failed.
pub fn selftests(series: KernelSeries) -> Result<PathBuf, Missing> {
    built(series)?.selftests().map_err(|error| Missing {
        what: format!("the folder of the {series} kernel selftests"),
        remedy: error.to_string(),
    })
}

/// Finds the folder with a program of Debian's and its libraries.
///
/// # Errors
/// [`Missing`] says how to fetch it.
pub fn debian_program(package: &str) -> Result<PathBuf, Missing> {
    let found = kernel_build::locate_program(package).map_err(|error| Missing {
        what: format!("Debian's {package}"),
        remedy: format!("{error}; `cargo xtask test` fetches it"),
    })?;
    Ok(found.folder)
}

/// Finds what an emulated machine takes that says to be `release`.
///
/// # Errors
/// [`Missing`] says how to build it, or what this host does not allow.
pub fn emulation(release: &str) -> Result<Emulation, Missing> {
    luo_emu::probe().map_err(|refused| Missing {
        what: format!("namespaces for the processes of an emulated machine ({refused})"),
        remedy: "run as root, or let users make namespaces".to_owned(),
    })?;
    Ok(Emulation {
        luo_emu: guest_program("luo-emu")?,
        agent: guest_program("e2e-agent")?,
        release: release.to_owned(),
    })
}

fn built(series: KernelSeries) -> Result<kernel_build::Kernel, Missing> {
    kernel_build::locate(series).map_err(|error| Missing {
        what: format!("the kernel {series}.x"),
        remedy: error.to_string(),
    })
}

/// The folder above `program` that cargo marked as its own.
fn target_folder(program: &Path) -> Option<&Path> {
    let is_marked = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    program.ancestors().skip(1).find(is_marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_folder_is_the_one_that_cargo_marked() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("build");
        let program = target.join("debug/deps/scenarios-0f");
        assert_eq!(target_folder(&program), None);
        fs::create_dir_all(&target).unwrap();
        fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(target_folder(&program), Some(target.as_path()));
    }

    #[test]
    fn absent_program_is_named_with_the_command_that_builds_it() {
        let missing = guest_program("no-such-program").unwrap_err().to_string();
        assert!(missing.contains("no-such-program"), "{missing}");
        assert!(missing.contains("cargo xtask guest"), "{missing}");
    }
}
