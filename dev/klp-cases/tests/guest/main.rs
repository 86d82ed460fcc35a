//! From a patch of real kernel source to its effect in a guest: built, loaded, seen to act, taken back.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "a test; clippy sees through #[cfg(test)] only"
)]

use std::path::{Path, PathBuf};

use kernel_build::{Flavour, Kernel, KernelSeries, LivepatchFiles};
use klp_cases::{Answers, Edit, Guest, Objtool, Sources};
use livepatch::{Build, Built, Replace};

mod cases;
mod gaps;
mod history;
mod objtool;
mod refused;
mod sets;
mod verification;

/// When set, what is missing fails a test instead of skipping it: for continuous integration.
const REQUIRE: &str = "E2E_REQUIRE";

/// Where modules are built, and what with.
struct Lab {
    kernel: Kernel,
    files: LivepatchFiles,
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Lab {
    /// The kernel and the guest's program; `None` skips.
    fn open() -> Option<Self> {
        let opened = Self::try_open();
        match opened {
            Ok(lab) => Some(lab),
            Err(missing) => {
                assert!(std::env::var_os(REQUIRE).is_none(), "{missing}");
                eprintln!("skipped: {missing}");
                None
            }
        }
    }

    fn try_open() -> Result<Self, String> {
        let kernel = kernel_build::locate_flavour(KernelSeries::V7_3, Flavour::Livepatch);
        let kernel = kernel.map_err(|error| error.to_string())?;
        let files = kernel.livepatch();
        let files = files.ok_or("the kernel in the cache lost its livepatch files")?;
        let program = e2e::artifacts::guest_program("klp-guest");
        Ok(Self {
            kernel,
            files,
            program: program.map_err(|error| error.to_string())?,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// Builds a module of edits; it is where the build says when nothing was refused.
    fn build(&self, name: &str, edits: &[Edit], replace: Replace) -> (Built, PathBuf) {
        let sources = Sources::new(&self.kernel.source, self.folder.path().join("patches"));
        let patch = sources.patch(name, edits).unwrap();
        self.build_patch(name, patch, replace)
    }

    fn build_patch(&self, name: &str, patch: PathBuf, replace: Replace) -> (Built, PathBuf) {
        let output = self.folder.path().join(format!("{name}.ko"));
        let job = Build {
            patches: vec![patch],
            kernel_tree: self.kernel.source.clone(),
            config: self.kernel.config.clone(),
            vmlinux: self.files.vmlinux.clone(),
            symvers: self.files.module_symvers.clone(),
            modules: Some(self.files.modules.clone()),
            // Kept from one test run to the next, as the kernel is.
            cache: self.kernel.folder.join("klp"),
            name: name.to_owned(),
            replace,
            max_readers: 64,
            output: output.clone(),
            keep: Some(self.folder.path().join(name)),
        };
        let built = job.run(&mut |_step| ()).unwrap();
        assert_eq!(
            built.refusals.is_empty() && !built.functions.is_empty(),
            output.exists()
        );
        (built, output)
    }

    /// A module of [`Lab::build`] before its last step.
    fn unlinked(&self, name: &str) -> PathBuf {
        let kept = self.folder.path().join(name);
        kept.join(format!("{name}.unfinished.ko"))
    }

    /// The kernel's own tool.
    fn objtool(&self) -> Objtool {
        Objtool {
            program: self.files.objtool.clone(),
            vmlinux: self.files.vmlinux.clone(),
            symvers: self.files.module_symvers.clone(),
        }
    }

    /// A folder that is gone when the lab is.
    fn new_folder(&self) -> PathBuf {
        tempfile::tempdir_in(self.folder.path()).unwrap().keep()
    }

    /// The source of another series, whose kernel is in the cache; `None` skips.
    fn source_of(&self, series: KernelSeries) -> Option<PathBuf> {
        match kernel_build::locate(series) {
            Ok(kernel) => Some(kernel.source),
            Err(missing) => {
                assert!(std::env::var_os(REQUIRE).is_none(), "{missing}");
                eprintln!("skipped: {missing}");
                None
            }
        }
    }

    fn boot(&self, guest: Guest) -> Answers {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let ran = guest.run(&self.kernel.bzimage, &self.program, folder.path());
        ran.unwrap()
    }

    fn module(&self, path: &str) -> PathBuf {
        self.files.modules.join(path)
    }
}

/// Loads a livepatch and waits until every task runs it.
fn enable(guest: &mut Guest, module: &Path) {
    let path = guest.module(module);
    guest.step(format!("load {path}"));
    guest.step("settle");
}

/// Takes a livepatch back and removes it.
fn disable(guest: &mut Guest, name: &str) {
    let name = name.replace('-', "_");
    guest.step(format!("put 0 /sys/kernel/livepatch/{name}/enabled"));
    guest.step("settle");
    guest.step(format!("unload {name}"));
}

/// Nothing that was asked of a guest failed, and the kernel did not warn.
fn is_quiet(answers: &Answers) {
    for (step, lines) in &answers.steps {
        let is_error = lines.iter().any(|line| line.starts_with("error: "));
        assert!(!is_error, "{step}: {lines:?}\n{}", answers.console);
    }
    is_untroubled(answers);
}

/// The kernel did not complain.
fn is_untroubled(answers: &Answers) {
    for trouble in ["WARNING:", "BUG:", "Oops", "Call Trace"] {
        assert!(!answers.console.contains(trouble), "{}", answers.console);
    }
}
