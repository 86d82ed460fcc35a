//! Patches of a kernel's source, made at the time of the test: its text is not part of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A change of a source file: the first place of some words becomes other words.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// Path below the tree.
    pub file: &'static str,
    /// Words that are there.
    pub find: &'static str,
    /// What they become.
    pub replace: &'static str,
}

/// Where patches are made.
#[derive(Debug)]
pub struct Sources<'t> {
    tree: &'t Path,
    folder: PathBuf,
}

impl<'t> Sources<'t> {
    /// Makes patches of a tree in a folder.
    #[must_use]
    pub fn new(tree: &'t Path, folder: PathBuf) -> Self {
        Self { tree, folder }
    }

    /// Makes a patch of a name.
    ///
    /// # Errors
    /// The words are not there, or `diff` cannot be run.
    pub fn patch(&self, name: &str, edits: &[Edit]) -> Result<PathBuf> {
        let work = self.folder.join(name);
        for edit in edits {
            let (old, new) = (
                work.join("a").join(edit.file),
                work.join("b").join(edit.file),
            );
            for path in [&old, &new] {
                fs::create_dir_all(path.parent().unwrap_or(&work))?;
            }
            let source = self.tree.join(edit.file);
            let text = fs::read_to_string(&source)
                .with_context(|| format!("read {}", source.display()))?;
            fs::write(&old, &text)?;
            // Several edits of one file.
            let text = fs::read_to_string(&new).unwrap_or(text);
            if !text.contains(edit.find) {
                bail!("{}: there is no {:?}", edit.file, edit.find);
            }
            fs::write(&new, text.replacen(edit.find, edit.replace, 1))?;
        }
        let output = Command::new("diff")
            .current_dir(&work)
            .args(["-ruN", "a", "b"])
            .output()
            .context("run diff")?;
        let patch = self.folder.join(format!("{name}.patch"));
        fs::write(&patch, output.stdout)?;
        Ok(patch)
    }
}
