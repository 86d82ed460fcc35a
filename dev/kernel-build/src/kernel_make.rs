//! The recipe: configure, check and compile one kernel tree into an output folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::cache::Cache;
use crate::error::{Error, io_error};
use crate::fragment::Fragment;
use crate::kernel::entries;
use crate::logged_command::{Finished, LoggedCommand, Progress};
use crate::private_apt::output;
use crate::rust_toolchain::RustToolchain;

/// Objects of a build with this fragment (7.2.13 has 1528), when the cache knows no earlier one.
const USUAL_OBJECTS: u64 = 1500;

/// Environment that changes what kbuild does; a build must not depend on who starts it.
const KBUILD_VARIABLES: [&str; 8] = [
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "O",
    "KBUILD_OUTPUT",
    "KCONFIG_CONFIG",
    "KCONFIG_ALLCONFIG",
    "LOCALVERSION",
];

/// A tree and the folder its objects go to.
#[derive(Debug)]
pub(crate) struct KernelMake<'a> {
    /// The cache, for logs.
    pub(crate) cache: &'a Cache,
    /// Name of the kernel in steps and logs.
    pub(crate) label: String,
    /// The source tree; nothing is written there.
    pub(crate) source: PathBuf,
    /// The output folder.
    pub(crate) output: PathBuf,
    /// What a kernel with Rust is built with.
    pub(crate) rust: Option<RustToolchain>,
}

impl KernelMake<'_> {
    /// Configures the tree with a fragment and proves that every option of it is in the final `.config`.
    pub(crate) fn configure(&self, fragment: &Fragment) -> Result<(), Error> {
        fs::create_dir_all(&self.output).map_err(io_error("create", &self.output))?;
        self.step("tinyconfig", &["tinyconfig"], Progress::Elapsed)?;
        let config = self.output.join(".config");
        // Kconfig takes the last value of an option, so appending is merging.
        File::options()
            .append(true)
            .open(&config)
            .and_then(|mut file| file.write_all(fragment.text().as_bytes()))
            .map_err(io_error("extend", &config))?;
        self.step("olddefconfig", &["olddefconfig"], Progress::Elapsed)?;
        let text = fs::read_to_string(&config).map_err(io_error("read", &config))?;
        let lost = fragment.lost_in(&text);
        if lost.is_empty() {
            Ok(())
        } else {
            Err(Error::ConfigLost {
                release: self.label.clone(),
                lost,
            })
        }
    }

    /// Compiles some targets and the user-interface headers.
    pub(crate) fn compile(&self, targets: &[&str]) -> Result<Finished, Error> {
        let expected = expected_objects();
        let built = self.step("build", targets, Progress::Objects { expected })?;
        self.step("headers", &["headers"], Progress::Elapsed)?;
        Ok(built)
    }

    /// Returns `make kernelrelease`.
    pub(crate) fn release(&self) -> Result<String, Error> {
        let mut command = self.command();
        command.args(["-s", "kernelrelease"]);
        version_word(&output(command, "make")?)
    }

    /// Returns the image in the output folder.
    pub(crate) fn image(&self) -> PathBuf {
        self.output.join("arch/x86/boot/bzImage")
    }

    fn step(&self, name: &str, targets: &[&str], progress: Progress) -> Result<Finished, Error> {
        let mut command = self.command();
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        command.arg(format!("-j{jobs}")).args(targets);
        let log = self.cache.log(&format!("{}-{name}", self.label));
        LoggedCommand::new(&format!("kernel {}: {name}", self.label), command, log)
            .with_progress(progress)
            .run()
    }

    fn command(&self) -> Command {
        let mut command = make();
        command
            .arg("-C")
            .arg(&self.source)
            .arg(format!("O={}", self.output.display()));
        if let Some(rust) = &self.rust {
            rust.apply(&mut command);
        }
        command
    }
}

/// Returns `make` with the architecture set and nothing inherited that changes a build.
pub(crate) fn make() -> Command {
    let mut command = Command::new("make");
    for variable in KBUILD_VARIABLES {
        command.env_remove(variable);
    }
    command
        .env("LC_ALL", "C")
        .env("KBUILD_BUILD_USER", "liveupdate")
        .env("KBUILD_BUILD_HOST", "localhost")
        .arg("ARCH=x86_64")
        .arg("--no-print-directory");
    command
}

/// Returns `make kernelversion` of a tree, which needs no configuration.
pub(crate) fn kernel_version(source: &Path) -> Result<String, Error> {
    let mut command = make();
    command.arg("-C").arg(source).args(["-s", "kernelversion"]);
    version_word(&output(command, "make")?)
}

/// Returns the first line of `gcc --version`.
pub(crate) fn compiler() -> Result<String, Error> {
    let mut command = Command::new("gcc");
    command.env("LC_ALL", "C").arg("--version");
    let text = output(command, "gcc")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Takes the one word that make prints; it becomes part of a path, so it is checked.
fn version_word(text: &str) -> Result<String, Error> {
    let word = text.trim();
    let is_version = word.starts_with(|first: char| first.is_ascii_digit())
        && word
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._-+~".contains(letter));
    if is_version {
        Ok(word.to_owned())
    } else {
        Err(Error::Output {
            program: "make",
            found: word.chars().take(200).collect(),
            expected: "a kernel version",
        })
    }
}

fn expected_objects() -> u64 {
    let built = entries().unwrap_or_default();
    let earlier = built.iter().map(|entry| entry.record.objects).max();
    earlier.unwrap_or(USUAL_OBJECTS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_is_taken_from_make() {
        assert_eq!(version_word("7.3.4\n").unwrap(), "7.3.4");
        assert_eq!(version_word("7.4.0-rc1+").unwrap(), "7.4.0-rc1+");
        for wrong in ["", "make: ***", "../7.3", "7.3/..", "7.3 4"] {
            assert!(version_word(wrong).is_err(), "{wrong}");
        }
    }
}
