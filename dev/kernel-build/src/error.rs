//! What can go wrong when a kernel is built or looked for.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::flavour::Flavour;
use crate::fragment::LostOption;
use crate::series::KernelSeries;

/// Failure to build a kernel or to use the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`: is its package installed?")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step ran and failed.
    #[error(transparent)]
    Step(#[from] StepFailed),
    /// Options of the fragment are not in the final `.config`.
    #[error("{}", lost_message(release, lost))]
    ConfigLost {
        /// Version of the kernel.
        release: String,
        /// The options.
        lost: Vec<LostOption>,
    },
    /// No place for the cache is known.
    #[error("no cache folder: set LIVEUPDATE_CACHE, XDG_CACHE_HOME or HOME")]
    NoCacheFolder,
    /// The kernel's build system refuses such a path.
    #[error("cache folder {} has a space or a colon in it, which kernel makefiles refuse: set LIVEUPDATE_CACHE to another", path.display())]
    CachePath {
        /// The folder.
        path: PathBuf,
    },
    /// apt names no mirror.
    #[error(
        "apt on this machine has no package mirror configured (`apt-get indextargets` lists none): \
             configure one, or build from a tree with `cargo xtask kernel build --source DIR`"
    )]
    NoMirror,
    /// No mirror answered.
    #[error("no package mirror could be read ({}): check the network, or build from a tree with \
             `cargo xtask kernel build --source DIR`", tried.join("; "))]
    MirrorUnreachable {
        /// Each attempt with its last error line.
        tried: Vec<String>,
    },
    /// The mirror has no release of the series.
    #[error("the package mirror has no release of {} (looked in: {}): build from a tree with \
             `cargo xtask kernel build --source DIR`", series.package(), suites.join(", "))]
    NoRelease {
        /// The series.
        series: KernelSeries,
        /// Suites that could be read.
        suites: Vec<String>,
    },
    /// No suite of the mirror has this package.
    #[error("the program {package} is not in the cache, and no suite has its package (looked in: {})", suites.join(", "))]
    NoProgram {
        /// The package.
        package: String,
        /// Where it was looked for.
        suites: Vec<String>,
    },
    /// No suite of the mirror has the library source of the compiler.
    #[error("no suite has rust-src {release} (looked in: {}): kernels with Rust need the library source of exactly the \
             compiler in PATH; with rustup, `rustup component add rust-src` brings it", suites.join(", "))]
    NoRustSource {
        /// Release of the compiler.
        release: String,
        /// Where it was looked for.
        suites: Vec<String>,
    },
    /// The machine's suite has no libclang that is new enough.
    #[error("no suite has libclang1-{least} or newer (looked in: {}), with which bindgen reads the kernel's headers", suites.join(", "))]
    NoLibclang {
        /// The least version.
        least: u32,
        /// Where it was looked for.
        suites: Vec<String>,
    },
    /// A package is not the one that was tried.
    #[error("{package} has the SHA-256 sum {found}, expected is {expected}")]
    Checksum {
        /// Name and version of the package.
        package: String,
        /// Its sum.
        found: String,
        /// The right one.
        expected: String,
    },
    /// A kernel has no files that modules in Rust are built with.
    #[error(
        "kernel {key} was not built for modules in Rust: build one with `cargo xtask kernel build --rust`"
    )]
    NoRust {
        /// The kernel.
        key: String,
    },
    /// A module was not built for a kernel since its source changed.
    #[error(
        "{name} is not built for kernel {key}: build it with `cargo xtask kernel build --rust`"
    )]
    NoModule {
        /// The module.
        name: String,
        /// The kernel.
        key: String,
    },
    /// The mirror has no package of modules.
    #[error("the package mirror has no linux-modules package of a known series (looked in: {})", suites.join(", "))]
    NoModules {
        /// Suites that could be read.
        suites: Vec<String>,
    },
    /// A package or a tree lacks a file.
    #[error("{} has no {what}", path.display())]
    Incomplete {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The folder is no kernel source tree.
    #[error("{} is no kernel source tree: it has no Kconfig and kernel/Makefile", path.display())]
    NoKernelTree {
        /// The folder.
        path: PathBuf,
    },
    /// A program printed something unexpected.
    #[error("`{program}` printed `{found}` where {expected} was expected")]
    Output {
        /// The program.
        program: &'static str,
        /// What it printed, shortened.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A record in the cache cannot be written.
    #[error("cannot encode kernel.json")]
    Encode(#[source] serde_json::Error),
    /// A key names no entry of the cache.
    #[error("no kernel `{key}` in the cache: `cargo xtask kernel list` shows the keys")]
    UnknownKey {
        /// The key.
        key: String,
    },
}

impl Error {
    /// Tells whether only the network, or its configuration, is in the way.
    pub fn is_mirror_missing(&self) -> bool {
        matches!(self, Self::NoMirror | Self::MirrorUnreachable { .. })
    }
}

/// Makes an [`Error::Io`] for `map_err`.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}

/// A step that ran and failed, with the end of its log.
#[derive(Debug)]
pub struct StepFailed {
    /// What was being done.
    pub step: String,
    /// How the program ended, in words.
    pub status: String,
    /// The whole log.
    pub log: PathBuf,
    /// Its last lines.
    pub tail: Vec<String>,
}

impl fmt::Display for StepFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step `{}` failed ({})", self.step, self.status)?;
        for line in &self.tail {
            writeln!(f, "  | {line}")?;
        }
        write!(f, "  whole log: {}", self.log.display())
    }
}

impl std::error::Error for StepFailed {}

/// No usable kernel in the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotBuilt {
    /// There is none with today's configuration.
    #[error("no {series} kernel for {} with the current configuration in {}: build it with `cargo xtask kernel build {}{series}`",
            flavour.name(), cache.display(), flavour.option())]
    Missing {
        /// The series.
        series: KernelSeries,
        /// What it is for.
        flavour: Flavour,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The cache itself cannot be used.
    #[error(
        "cannot look for a {series} kernel; once that is repaired, `cargo xtask kernel build {series}` builds it"
    )]
    Cache {
        /// The series.
        series: KernelSeries,
        /// Why.
        #[source]
        source: Error,
    },
}

fn lost_message(release: &str, lost: &[LostOption]) -> String {
    let mut message = format!(
        "{} of the configuration fragment did not survive `make olddefconfig` of {release}:\n",
        if lost.len() == 1 {
            "1 option".to_owned()
        } else {
            format!("{} options", lost.len())
        }
    );
    for option in lost {
        message.push_str(&format!("  {option}\n"));
    }
    message.push_str(
        "  what to do: find each name in the tree's Kconfig files; if it was renamed, rename it in \
         dev/kernel-build/config, if a dependency is missing, add that dependency there",
    );
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::Fragment;

    #[test]
    fn lost_options_are_named_with_value_and_what_to_do() {
        let fragment = Fragment::parse("CONFIG_GONE=y\nCONFIG_OFF=y\n");
        let message = Error::ConfigLost {
            release: "7.3.4".into(),
            lost: fragment.lost_in("# CONFIG_OFF is not set\n"),
        }
        .to_string();
        assert!(message.starts_with("2 options"), "{message}");
        assert!(
            message.contains("CONFIG_GONE: asked for y, found nothing"),
            "{message}"
        );
        assert!(
            message.contains("CONFIG_OFF: asked for y, found it not set"),
            "{message}"
        );
        assert!(message.contains("dev/kernel-build/config"), "{message}");
    }

    #[test]
    fn a_missing_kernel_says_the_command_that_builds_it() {
        for (flavour, command) in [
            (Flavour::Livepatch, "cargo xtask kernel build 7.3"),
            (Flavour::Rust, "cargo xtask kernel build --rust 7.3"),
        ] {
            let message = NotBuilt::Missing {
                series: KernelSeries::V7_3,
                flavour,
                cache: PathBuf::from("c"),
            }
            .to_string();
            assert!(message.contains(command), "{message}");
        }
    }
}
