//! The package mirror that this machine already uses, read through a private apt state.
//!
//! The mirror's address comes from `apt-get indextargets`; further suites are added in a source list of our own, with
//! package lists in our own folder. Nothing of the system's apt is changed and no rights are needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::Cache;
use crate::error::{Error, io_error};
use crate::logged_command::{LoggedCommand, Progress};

/// Suites that may carry a newer kernel source, the likely ones first; one that a mirror lacks is skipped.
const SUITES: [&str; 4] = ["sid", "trixie-backports", "forky", "experimental"];

/// Proves that packages are Debian's.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package version that the mirror offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Debian version.
    pub(crate) version: String,
    /// Suite and component, `sid/main`.
    pub(crate) suite: String,
}

/// An apt state of our own.
#[derive(Debug)]
pub(crate) struct PrivateApt<'a> {
    cache: &'a Cache,
    folder: PathBuf,
    /// Suites whose lists could be read.
    pub(crate) suites: Vec<String>,
}

impl<'a> PrivateApt<'a> {
    /// Fetches the package lists of every suite that may have a newer kernel, of those that the machine's mirrors have.
    pub(crate) fn update(cache: &'a Cache) -> Result<Self, Error> {
        Self::update_suites(cache, &SUITES)
    }

    /// Like [`Self::update`], of these suites. An older value must not be used any more.
    pub(crate) fn update_suites<S: AsRef<str>>(
        cache: &'a Cache,
        suites: &[S],
    ) -> Result<Self, Error> {
        let mut apt = Self {
            cache,
            folder: cache.apt(),
            suites: Vec::new(),
        };
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            let path = apt.folder.join(folder);
            fs::create_dir_all(&path).map_err(io_error("create", &path))?;
        }
        let status = apt.folder.join("status");
        fs::write(&status, "").map_err(io_error("write", &status))?;
        let mirrors = mirrors()?;
        let mut good = Vec::new();
        let mut tried = Vec::new();
        for (number, mirror) in mirrors.iter().enumerate() {
            for suite in suites.iter().map(AsRef::as_ref) {
                let line = source_line(mirror, suite);
                match apt.update_one(number, suite, &line) {
                    Ok(()) => {
                        good.push(line);
                        apt.suites.push(suite.to_owned());
                    }
                    Err(Error::Step(failed)) => {
                        let why = failed.tail.iter().rev().find(|line| line.starts_with("E:"));
                        let why = why.unwrap_or(&failed.status);
                        tried.push(format!("{suite}: {why}"));
                    }
                    Err(other) => return Err(other),
                }
            }
        }
        if good.is_empty() {
            return Err(Error::MirrorUnreachable { tried });
        }
        apt.write_sources(&good.concat())?;
        Ok(apt)
    }

    /// Lists the versions of a package in all suites.
    pub(crate) fn offers(&self, package: &str) -> Result<Vec<Offer>, Error> {
        let mut command = self.command("apt-cache");
        command.args(["madison", package]);
        Ok(parse_madison(&output(command, "apt-cache")?))
    }

    /// Lists packages whose names match a regular expression.
    pub(crate) fn names(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let mut command = self.command("apt-cache");
        command.args(["search", "--names-only", pattern]);
        let found = output(command, "apt-cache")?;
        let names = found.lines().filter_map(|line| line.split_once(' '));
        Ok(names.map(|(name, _)| name.to_owned()).collect())
    }

    /// Lists the libraries a package depends on, directly or through others, by their packages' names.
    pub(crate) fn libraries_of(&self, package: &str) -> Result<Vec<String>, Error> {
        let mut command = self.command("apt-cache");
        command.args(["depends", "--recurse", "--important", package]);
        Ok(parse_libraries(&output(command, "apt-cache")?))
    }

    /// Downloads a package version into a folder; apt checks it against the signed lists.
    pub(crate) fn download(
        &self,
        package: &str,
        version: &str,
        folder: &Path,
    ) -> Result<PathBuf, Error> {
        let mut command = self.command("apt-get");
        command
            .args(["-q", "download", &format!("{package}={version}")])
            .current_dir(folder);
        let log = self.cache.log(&format!("{package}-download"));
        LoggedCommand::new(&format!("{package} {version}: download"), command, log)
            .with_progress(Progress::FolderBytes(folder.to_owned()))
            .run()?;
        let files = fs::read_dir(folder).map_err(io_error("list", folder))?;
        files
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or_else(|| Error::Incomplete {
                path: folder.to_owned(),
                what: "downloaded package",
            })
    }

    fn update_one(&self, number: usize, suite: &str, line: &str) -> Result<(), Error> {
        self.write_sources(line)?;
        let mut command = self.command("apt-get");
        // A missing suite fails; without Error-Mode an unreachable mirror would only warn.
        command.args([
            "-q",
            "-o",
            "APT::Update::Error-Mode=any",
            "-o",
            "APT::Get::List-Cleanup=0",
            "-o",
            "Acquire::Retries=1",
            "update",
        ]);
        let log = self.cache.log(&format!("mirror-{number}-{suite}"));
        LoggedCommand::new(&format!("package list of {suite}"), command, log).run()?;
        Ok(())
    }

    fn write_sources(&self, text: &str) -> Result<(), Error> {
        let path = self.folder.join("sources.list");
        fs::write(&path, text).map_err(io_error("write", &path))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let set = |name: &str, value: &str| format!("{name}={}", self.folder.join(value).display());
        command.env("LC_ALL", "C");
        for option in [
            set("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            set("Dir::State", "state"),
            set("Dir::State::status", "status"),
            set("Dir::Cache", "cache"),
            // The private folder need not be readable by apt's own user.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Check-Valid-Until=false".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

/// Picks the packages of libraries out of `apt-cache depends --recurse`, where each package that is
/// reached stands at the beginning of a line.
fn parse_libraries(depends: &str) -> Vec<String> {
    let is_library = |line: &&str| line.starts_with("lib") || line.starts_with("zlib");
    let packages = depends.lines().filter(is_library);
    let all: BTreeSet<String> = packages.map(ToOwned::to_owned).collect();
    all.into_iter().collect()
}

fn source_line(mirror: &str, suite: &str) -> String {
    format!("deb [target=Packages signed-by={KEYRING}] {mirror} {suite} main\n")
}

/// Returns the suite that this machine was installed from, by its name in `os-release(5)`.
pub(crate) fn own_suite() -> Result<String, Error> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).map_err(io_error("read", path))?;
    suite_in(&text).ok_or_else(|| Error::Incomplete {
        path: path.to_owned(),
        what: "VERSION_CODENAME: the suite of this machine's packages",
    })
}

fn suite_in(os_release: &str) -> Option<String> {
    let mut lines = os_release.lines();
    let name = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let name = name.trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
}

fn index_targets() -> Result<String, Error> {
    let mut command = Command::new("apt-get");
    command.env("LC_ALL", "C").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(SUITE)",
        "Created-By: Packages",
    ]);
    output(command, "apt-get")
}

/// Finds the mirrors of this machine's apt: each once, in apt's order, without security archives, which have other
/// suites.
///
/// # Errors
/// [`Error::NoMirror`] when there is none.
pub fn mirrors() -> Result<Vec<String>, Error> {
    let found = mirrors_in(&index_targets()?);
    if found.is_empty() {
        return Err(Error::NoMirror);
    }
    Ok(found)
}

fn mirrors_in(index_targets: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    index_targets
        .lines()
        .filter(|line| !line.contains("security"))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|uri| seen.insert(uri.to_owned()))
        .map(str::to_owned)
        .collect()
}

fn parse_madison(text: &str) -> Vec<Offer> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            let version = fields.nth(1)?;
            let suite = fields.next()?.split_whitespace().nth(1)?;
            Some(Offer {
                version: version.to_owned(),
                suite: suite.to_owned(),
            })
        })
        .collect()
}

/// Runs a short program and returns what it printed.
pub(crate) fn output(mut command: Command, program: &'static str) -> Result<String, Error> {
    let output = command.output().map_err(|source| Error::Spawn {
        program: program.to_owned(),
        source,
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let found = String::from_utf8_lossy(&output.stderr);
        Err(Error::Output {
            program,
            found: found.trim().chars().take(400).collect(),
            expected: "success",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_the_packages_named_so_that_are_reached() {
        let depends = "memcached\n  Depends: libc6\n  Depends: adduser\nlibc6\n  Depends: libgcc-s1\n\
                       zlib1g\nadduser\n<libfoo>\nlibc6\n";
        assert_eq!(parse_libraries(depends), ["libc6", "zlib1g"]);
    }

    #[test]
    fn every_mirror_is_asked_once_and_security_archives_are_not() {
        let targets = "http://mirror.example/debian-security/ stable-security\n\
                       http://mirror.example/debian/ stable-updates\n\
                       http://mirror.example/debian/ stable\n\
                       http://other.example/debian/ stable\n";
        assert_eq!(
            mirrors_in(targets),
            [
                "http://mirror.example/debian/",
                "http://other.example/debian/"
            ]
        );
        assert!(mirrors_in("").is_empty());
    }

    #[test]
    fn the_suite_of_a_machine_is_its_code_name() {
        let text = "ID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(suite_in(text).as_deref(), Some("bookworm"));
        assert_eq!(
            suite_in("VERSION_CODENAME=\"noble\"\n").as_deref(),
            Some("noble")
        );
        assert_eq!(suite_in("ID=arch\n"), None);
    }

    #[test]
    fn offers_carry_version_and_suite() {
        let text = "linux-source-7.3 | 7.3.4-1~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages\n\
                    linux-source-7.3 | 7.3~rc7-1~exp1 | http://m.example/debian experimental/main amd64 Packages\n\
                    N: noise\n";
        let offers = parse_madison(text);
        assert_eq!(offers.len(), 2);
        assert_eq!(offers[0].version, "7.3.4-1~bpo13+1");
        assert_eq!(offers[1].suite, "experimental/main");
    }
}
