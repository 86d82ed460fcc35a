//! What a kernel with Rust is built with, besides the compiler that is there: the library source of exactly that
//! compiler, and bindgen with a libclang. All of it comes into the cache; nothing is installed on the machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use crate::cache::{Cache, begin, publish};
use crate::debian_version::newest;
use crate::error::{Error, io_error};
use crate::logged_command::LoggedCommand;
use crate::private_apt::{PrivateApt, output, own_suite};
use crate::progress::announce;

/// The release of bindgen; Linux 7.2 and 7.3 ask for 0.71.1, with libclang 22 for this one
/// (`scripts/min-tool-version.sh`, `scripts/rust_is_available.sh`).
const BINDGEN: &str = "0.72.1";

/// The least libclang (`scripts/min-tool-version.sh`, v7.2 and v7.3: 17.0.1).
const LEAST_LIBCLANG: u32 = 17;

/// Debian's package of the library source.
const RUST_SRC: &str = "rust-src";

/// What is known to be right of [`RUST_SRC`], by version: SHA-256 of the package. apt proves that any version is
/// Debian's; this, that it is the one that was tried.
const KNOWN_SOURCES: [(&str, &str); 1] = [(
    "1.95.0+dfsg1-2~bpo13+1",
    "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b",
)];

/// What Rust in a kernel needs beside the compiler.
#[derive(Clone, Debug)]
pub(crate) struct RustToolchain {
    /// Source of the standard library.
    library: PathBuf,
    /// The program that makes bindings, with its libclang.
    bindgen: PathBuf,
}

impl RustToolchain {
    /// Makes a command that runs `make` use it.
    pub(crate) fn apply(&self, make: &mut Command) {
        make.env("RUST_LIB_SRC", &self.library)
            .arg(format!("BINDGEN={}", self.bindgen.display()));
    }
}

/// Returns `rustc --version` of the compiler in `PATH`; empty when there is none.
pub(crate) fn rustc_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let asked = rustc(&["--version"]);
        asked.unwrap_or_default()
    })
}

fn rustc(arguments: &[&str]) -> Result<String, Error> {
    let mut command = Command::new("rustc");
    command.args(arguments);
    Ok(output(command, "rustc")?.trim().to_owned())
}

/// Takes the number out of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn release_of(version: &str) -> Option<&str> {
    version.strip_prefix("rustc ")?.split_whitespace().next()
}

/// Returns the toolchain, fetching and building what the cache does not have. The caller holds the cache's lock.
pub(crate) fn rust_toolchain(cache: &Cache) -> Result<RustToolchain, Error> {
    let release = release_of(rustc_version()).ok_or_else(|| Error::Output {
        program: "rustc",
        found: rustc_version().to_owned(),
        expected: "its version",
    })?;
    let library = match own_library()? {
        Some(library) => library,
        None => debian_library(cache, release)?,
    };
    let bindgen = bindgen(cache)?;
    Ok(RustToolchain { library, bindgen })
}

/// The source that rustup has installed (`rustup component add rust-src`).
fn own_library() -> Result<Option<PathBuf>, Error> {
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    let library = sysroot.join("lib/rustlib/src/rust/library");
    Ok(is_library(&library).then_some(library))
}

fn is_library(folder: &Path) -> bool {
    folder.join("core/src/lib.rs").is_file()
}

fn debian_library(cache: &Cache, release: &str) -> Result<PathBuf, Error> {
    let folder = cache.rust().join(format!("library-{release}"));
    let library = folder.join("library");
    if is_library(&library) {
        return Ok(library);
    }
    let apt = PrivateApt::update(cache)?;
    let offers = apt.offers(RUST_SRC)?;
    let of_release = offers
        .into_iter()
        .filter(|offer| is_source_of(&offer.version, release));
    let Some(offer) = newest(of_release, |offer| &offer.version)? else {
        return Err(Error::NoRustSource {
            release: release.to_owned(),
            suites: apt.suites,
        });
    };
    announce(&format!(
        "Rust: library source {} of {}",
        offer.version, offer.suite
    ));
    let download = begin(&cache.rust())?;
    let deb = apt.download(RUST_SRC, &offer.version, download.path())?;
    check_sum(&deb, &offer.version)?;
    unpack(cache, RUST_SRC, &deb, download.path())?;
    let unpacked = download.path().join(format!("usr/src/rustc-{release}"));
    if !is_library(&unpacked.join("library")) {
        return Err(Error::Incomplete {
            path: deb,
            what: "library/core/src/lib.rs",
        });
    }
    let fresh = begin(&cache.rust())?;
    let inner = fresh.path().join("library");
    fs::rename(unpacked.join("library"), &inner).map_err(io_error("move", &inner))?;
    publish(fresh, &folder)?;
    Ok(library)
}

/// Tells whether a version of Debian's package has the library of a release of the compiler, unchanged but for files
/// that are not free.
fn is_source_of(package_version: &str, release: &str) -> bool {
    package_version
        .strip_prefix(release)
        .is_some_and(|rest| rest.starts_with(['+', '-']))
}

fn check_sum(deb: &Path, version: &str) -> Result<(), Error> {
    let Some((_, expected)) = KNOWN_SOURCES.iter().find(|(known, _)| *known == version) else {
        return Ok(());
    };
    let bytes = fs::read(deb).map_err(io_error("read", deb))?;
    let sum = Sha256::digest(&bytes);
    let found: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    if found == *expected {
        return Ok(());
    }
    Err(Error::Checksum {
        package: format!("{RUST_SRC} {version}"),
        found,
        expected: (*expected).to_owned(),
    })
}

fn unpack(cache: &Cache, package: &str, deb: &Path, folder: &Path) -> Result<(), Error> {
    let mut command = Command::new("dpkg-deb");
    command.arg("-x").arg(deb).arg(folder);
    let step = format!("{package}: unpack");
    LoggedCommand::new(&step, command, cache.log("rust-unpack")).run()?;
    Ok(())
}

/// Returns the program, which is a script that gives the real one its libclang.
fn bindgen(cache: &Cache) -> Result<PathBuf, Error> {
    let folder = cache.rust().join(format!("bindgen-{BINDGEN}"));
    let program = folder.join("bindgen");
    if program.is_file() {
        return Ok(program);
    }
    let fresh = begin(&cache.rust())?;
    fetch_libclang(cache, &fresh.path().join("lib"))?;
    install_bindgen(cache, fresh.path())?;
    let script = "#!/bin/sh\n\
                  here=$(dirname \"$0\")\n\
                  LD_LIBRARY_PATH=$here/lib LIBCLANG_PATH=$here/lib exec \"$here/bin/bindgen\" \"$@\"\n";
    let path = fresh.path().join("bindgen");
    fs::write(&path, script).map_err(io_error("write", &path))?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&path, mode).map_err(io_error("open up", &path))?;
    publish(fresh, &folder)?;
    Ok(program)
}

/// Builds the program into `folder/bin`.
fn install_bindgen(cache: &Cache, folder: &Path) -> Result<(), Error> {
    let objects = begin(&cache.rust())?;
    let mut command = Command::new("cargo");
    command
        .args(["install", "bindgen-cli", "--version", BINDGEN, "--locked"])
        .arg("--root")
        .arg(folder)
        .arg("--target-dir")
        .arg(objects.path())
        // It runs for seconds: what optimising it more takes is never won back.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let step = format!("bindgen {BINDGEN}: build");
    LoggedCommand::new(&step, command, cache.log("bindgen-install")).run()?;
    Ok(())
}

/// Unpacks the newest libclang of the machine's own suite, with what it needs and the machine may lack, into `folder`.
///
/// Of the same suite, because it is loaded beside the machine's own C library.
fn fetch_libclang(cache: &Cache, folder: &Path) -> Result<(), Error> {
    let apt = PrivateApt::update_suites(cache, &[&own_suite()?])?;
    let names = apt.names("^libclang1-[0-9]+$")?;
    let Some(package) = newest_libclang(&names) else {
        return Err(Error::NoLibclang {
            least: LEAST_LIBCLANG,
            suites: apt.suites,
        });
    };
    let libraries = apt.libraries_of(package)?;
    // The C library is the one that the machine runs on.
    let wanted = libraries
        .iter()
        .filter(|name| !name.starts_with("libc6") && !name.starts_with("libgcc"));
    let unpacked = begin(&cache.rust())?;
    for name in wanted {
        let Some(offer) = newest(apt.offers(name)?, |offer| &offer.version)? else {
            continue;
        };
        let download = begin(&cache.rust())?;
        let deb = apt.download(name, &offer.version, download.path())?;
        unpack(cache, name, &deb, unpacked.path())?;
    }
    fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    collect_libraries(unpacked.path(), folder)
}

/// Picks the newest of some packages like `libclang1-19`.
fn newest_libclang(names: &[String]) -> Option<&str> {
    let number = |name: &str| -> Option<u32> { name.strip_prefix("libclang1-")?.parse().ok() };
    let usable = names
        .iter()
        .filter(|name| number(name).is_some_and(|found| found >= LEAST_LIBCLANG));
    usable.max_by_key(|name| number(name)).map(String::as_str)
}

/// Copies every shared library below `from` into one folder, where links lead to their neighbours.
fn collect_libraries(from: &Path, folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(from).map_err(io_error("list", from))? {
        let path = entry.map_err(io_error("list", from))?.path();
        if path.is_dir() && !path.is_symlink() {
            collect_libraries(&path, folder)?;
            continue;
        }
        let name = path.file_name().unwrap_or_default();
        let is_library = name.to_string_lossy().contains(".so");
        // A link may lead to what only another package has.
        let Some(file) = fs::canonicalize(&path)
            .ok()
            .filter(|file| is_library && file.is_file())
        else {
            continue;
        };
        // Packages have a library in one folder and links with its name in others.
        if folder.join(name).symlink_metadata().is_ok() {
            continue;
        }
        let own_name = file.file_name().unwrap_or(name);
        if own_name == name {
            fs::copy(&file, folder.join(name)).map_err(io_error("copy", &file))?;
        } else {
            symlink(own_name, folder.join(name)).map_err(io_error("link", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_source_of_the_same_release_is_taken() {
        assert!(is_source_of("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_source_of("1.95.0-1", "1.95.0"));
        assert!(!is_source_of("1.95.1+dfsg1-1", "1.95.0"));
        assert!(!is_source_of("1.95.0~beta.2-1", "1.95.0"));
        assert!(!is_source_of("1.9.0-1", "1.95.0"));
    }

    #[test]
    fn the_release_is_taken_from_what_the_compiler_says() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)";
        assert_eq!(release_of(text), Some("1.95.0"));
        assert_eq!(release_of(""), None);
    }

    #[test]
    fn an_old_libclang_is_none() {
        let names = [
            "libclang1-14",
            "libclang1-9",
            "libclang1-19",
            "libclang1-17",
        ]
        .map(ToOwned::to_owned);
        assert_eq!(newest_libclang(&names), Some("libclang1-19"));
        assert_eq!(newest_libclang(&names[..2]), None);
    }

    #[test]
    fn what_was_fetched_is_not_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let library = cache.rust().join("library-1.95.0/library");
        fs::create_dir_all(library.join("core/src")).unwrap();
        fs::write(library.join("core/src/lib.rs"), "").unwrap();
        assert_eq!(debian_library(&cache, "1.95.0").unwrap(), library);
        let program = cache.rust().join(format!("bindgen-{BINDGEN}/bindgen"));
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "").unwrap();
        assert_eq!(bindgen(&cache).unwrap(), program);
    }

    #[test]
    fn a_changed_package_of_a_known_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let deb = folder.path().join("x.deb");
        fs::write(&deb, "not it").unwrap();
        let (known, _) = KNOWN_SOURCES[0];
        let error = check_sum(&deb, known).unwrap_err();
        assert!(error.to_string().contains(known), "{error}");
        check_sum(&deb, "1.96.0-1").unwrap();
    }

    #[test]
    fn a_script_finds_its_libraries_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("usr/lib/x");
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join("liba.so.1.2"), "a").unwrap();
        symlink("liba.so.1.2", from.join("liba.so.1")).unwrap();
        symlink("absent", from.join("libb.so")).unwrap();
        fs::write(from.join("readme"), "").unwrap();
        let other = folder.path().join("usr/lib/y");
        fs::create_dir_all(&other).unwrap();
        for name in ["liba.so.1.2", "liba.so.1"] {
            symlink(from.join("liba.so.1.2"), other.join(name)).unwrap();
        }
        let to = folder.path().join("lib");
        fs::create_dir_all(&to).unwrap();
        collect_libraries(&folder.path().join("usr"), &to).unwrap();
        let names = fs::read_dir(&to).unwrap().count();
        assert_eq!(names, 2);
        assert_eq!(fs::read(to.join("liba.so.1")).unwrap(), b"a");
    }
}
