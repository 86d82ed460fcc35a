//! What the kernel's own tool finds in two builds of an object, and makes of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// The tool, and the files of the kernel that it asks for.
#[derive(Clone, Debug)]
pub struct Objtool {
    /// `tools/objtool/objtool`, of the source that the kernel was built from.
    pub program: PathBuf,
    /// The linked kernel.
    pub vmlinux: PathBuf,
    /// `Module.symvers`.
    pub symvers: PathBuf,
}

/// What it said of two builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Functions that changed.
    pub changed: BTreeSet<String>,
    /// Functions that are new.
    pub new: BTreeSet<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Its warnings and errors.
    pub said: String,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended well and wrote nothing: for it nothing changed.
    Nothing,
    /// It wrote the object of the change.
    Object(PathBuf),
    /// It refused.
    Refused,
}

impl Verdict {
    /// Tells whether it did not know which of several equally named symbols is meant: for that it needs all of the kernel, not
    /// one object of it.
    #[must_use]
    pub fn lacks_positions(&self) -> bool {
        self.said.contains("no .klp.symid entry")
    }
}

impl Objtool {
    /// Runs one of its livepatch commands in a folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.current_dir(folder).arg("klp").args(arguments);
        command
            .output()
            .with_context(|| format!("run {}", self.program.display()))
    }

    /// Compares two builds of a part of the kernel, as `scripts/livepatch/klp-build` does (v7.3); an empty folder is for
    /// its files.
    ///
    /// # Errors
    /// The folder cannot be filled, or there are no checksums.
    pub fn compare(&self, before: &Path, after: &Path, folder: &Path) -> Result<Verdict> {
        fs::copy(&self.symvers, folder.join("Module.symvers"))?;
        self.side(before, "orig", folder)?;
        self.side(after, "patched", folder)?;
        let object = folder.join("out.o");
        let arguments = ["diff", "orig/vmlinux.o", "patched/vmlinux.o", "out.o"];
        let output = self.run(folder, &arguments)?;
        let told = String::from_utf8_lossy(&output.stdout);
        let outcome = match (output.status.success(), object.exists()) {
            (true, true) => Outcome::Object(object),
            (true, false) => Outcome::Nothing,
            (false, _) => Outcome::Refused,
        };
        Ok(Verdict {
            changed: named(&told, "changed function: "),
            new: named(&told, "new function: "),
            outcome,
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// One of the builds with its checksums, under the name that the whole kernel would have.
    fn side(&self, object: &Path, side: &str, folder: &Path) -> Result<()> {
        fs::create_dir(folder.join(side))?;
        let name = format!("{side}/vmlinux.o");
        fs::copy(object, folder.join(&name))?;
        symlink(&self.vmlinux, folder.join(side).join("vmlinux"))?;
        // A part of the kernel does not say what it is part of, and objtool asks.
        let modinfo = folder.join("modinfo");
        fs::write(&modinfo, b"name=vmlinux\0")?;
        let status = Command::new("objcopy")
            .current_dir(folder)
            .args([
                "--remove-section=.modinfo",
                "--add-section=.modinfo=modinfo",
            ])
            .args(["--set-section-flags", ".modinfo=alloc,readonly"])
            .arg(&name)
            .status()
            .context("run objcopy")?;
        if !status.success() {
            bail!("objcopy {name}: {status}");
        }
        let output = self.run(folder, &["checksum", &name])?;
        if !output.status.success() {
            bail!("objtool klp checksum {}: {output:?}", object.display());
        }
        Ok(())
    }
}

/// Names behind some words, on lines that begin with the object.
fn named(text: &str, words: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.split_once(words));
    lines.map(|(_, name)| name.trim().to_owned()).collect()
}
