//! What cargo knows of this workspace.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The parts of `cargo metadata --no-deps` that the checks use.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Members, all of them.
    pub(crate) packages: Vec<Package>,
    /// The repository's root.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

/// A member.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// `[package.metadata]`.
    #[serde(default)]
    pub(crate) metadata: Option<PackageMetadata>,
}

/// A dependency of any kind: build and test dependencies count like others.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    /// Its folder, when it is not from a registry.
    #[serde(default)]
    pub(crate) path: Option<PathBuf>,
}

/// `[package.metadata]` of a member.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PackageMetadata {
    #[serde(default)]
    pub(crate) xtask: Option<XtaskMetadata>,
}

/// `[package.metadata.xtask]` of a member.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct XtaskMetadata {
    /// Names of test targets that need kernels and guest machines; they run after those are built.
    #[serde(default)]
    pub(crate) machine_tests: Vec<String>,
    /// Those of them whose tests called `emulated::` need the guest programs only.
    #[serde(default)]
    pub(crate) emulated_tests: Vec<String>,
}

impl Workspace {
    /// Asks cargo, without network.
    pub(crate) fn load() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = command.output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        serde_json::from_slice(&output.stdout).context("cannot read what cargo metadata printed")
    }

    /// Returns a package's folder relative to the root.
    pub(crate) fn folder_of<'a>(&self, package: &'a Package) -> &'a Path {
        let folder = package.manifest_path.parent().unwrap_or(Path::new(""));
        folder.strip_prefix(&self.root).unwrap_or(folder)
    }

    /// Lists the tests that need machines, as (package, test target).
    pub(crate) fn machine_tests(&self) -> Vec<(String, String)> {
        self.declared_tests(|xtask| &xtask.machine_tests)
    }

    /// Lists the tests of which some run on the emulated machine, as (package, test target).
    pub(crate) fn emulated_tests(&self) -> Vec<(String, String)> {
        self.declared_tests(|xtask| &xtask.emulated_tests)
    }

    fn declared_tests(&self, list_fn: fn(&XtaskMetadata) -> &[String]) -> Vec<(String, String)> {
        let mut tests = Vec::new();
        for package in &self.packages {
            let declared = package.metadata.as_ref().and_then(|all| all.xtask.as_ref());
            for test in declared.map_or(&[][..], list_fn) {
                tests.push((package.name.clone(), test.clone()));
            }
        }
        tests
    }
}

/// Returns the cargo that runs this tool.
pub(crate) fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.env("CARGO_TERM_COLOR", "never");
    command
}
