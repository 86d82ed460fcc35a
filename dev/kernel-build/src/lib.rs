//! Builds and caches the small `x86_64` kernels that the live-update tests run on.
//!
//! A kernel comes from Debian's `linux-source-*` packages ([`build_series`]) or from any kernel tree ([`build_tree`]).
//! Its configuration is `make tinyconfig` plus the [`Fragment`] of its [`Flavour`]. Finished kernels live in the [`Cache`],
//! outside the target folder, and stay usable without network; tests ask for one with [`locate`].
//!
//! ```text
//! <cache>/sources/<package version>/            unpacked source tree, shared by every configuration
//! <cache>/kernels/<package version>-<hash>/     kernel.json bzImage System.map config build/ selftests/
//!                                               livepatch/ (of that flavour: objects, modules, objtool)
//!                                               klp/ (of that flavour: what `klp build` prepared for tests)
//!                                               NAME-<hash>.ko (of those for Rust: modules of this project)
//! <cache>/trees/<kernel version>-<hash>-<path>/ the same, of a tree given with `--source`
//! <cache>/modules/<package>_<version>/          modules of a Debian kernel, unpacked
//! <cache>/programs/<package>_<version>/         a program of Debian with its libraries, unpacked
//! <cache>/rust/                                 the library source of the compiler, and bindgen with its libclang
//! <cache>/roots/<suite>-<hash>/                 root file system of a guest with systemd (crate `systemd-guest`)
//! <cache>/apt/                                  private package lists
//! <cache>/logs/                                 one file per step
//! ```
//!
//! `build/` of a finished kernel keeps what compiling against it needs: `include/`, `arch/x86/include/` (prepared
//! headers) and `usr/include/` (the user interface, from `make headers`); of one for modules in Rust also what they are
//! built with ([`build_module`]).

mod cache;
mod config_hash;
mod debian_version;
mod error;
#[cfg(test)]
mod fake_tree;
mod flavour;
mod fragment;
mod kernel;
mod kernel_make;
mod logged_command;
mod module_build;
mod modules_package;
mod package_source;
mod private_apt;
mod program_package;
mod progress;
mod record;
mod rust_toolchain;
mod selftests;
mod series;
mod series_build;
mod tree_build;

pub use cache::{Cache, CacheLock, begin, publish};
pub use config_hash::ConfigHash;
pub use error::{Error, NotBuilt, StepFailed};
pub use flavour::{Flavour, LivepatchFiles};
pub use fragment::{Fragment, LostOption};
pub use kernel::{Entry, Kernel, entries, locate, locate_flavour, locate_key};
pub use logged_command::{Finished, LoggedCommand, Progress};
pub use module_build::{ModuleSource, build_module, locate_module};
pub use modules_package::{DebianModules, debian_modules};
pub use private_apt::{KEYRING, mirrors};
pub use program_package::{DebianProgram, debian_program, locate_program};
pub use record::{Origin, Record};
pub use selftests::{JUMP_SELFTESTS, SELFTEST_PROGRAMS};
pub use series::{KernelSeries, UnknownSeries};
pub use series_build::{Freshness, build_flavour, build_series};
pub use tree_build::build_tree;
