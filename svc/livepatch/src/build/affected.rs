//! [`Affected`]: objects that a patch changes without naming them, since they read a header, or a C file that others include.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Build;
use super::includes::{Includes, Readers};
use super::objects::{Unit, file_names, units};
use super::refusal::{self, Refusal};
use crate::error::Error;

/// What a patch compiles.
#[derive(Clone, Debug, Default)]
pub(super) struct Affected {
    /// Of files that it names.
    pub(super) named: Vec<Unit>,
    /// Of files that may read those.
    pub(super) readers: Vec<Unit>,
    /// The files that may be read.
    pub(super) read: BTreeSet<String>,
    /// Why some of it cannot be livepatched.
    pub(super) refusals: Vec<Refusal>,
}

impl Affected {
    pub(super) fn of(
        build: &Build,
        includes: &Includes,
        touched: &BTreeSet<String>,
        config: &[u8],
    ) -> Result<Self, Error> {
        let files: Vec<&str> = touched.iter().map(String::as_str).collect();
        let mut readers = includes.readers(&files);
        let mut affected = Self::default();
        if readers == Readers::default() {
            affected.named = units(touched);
            return Ok(affected);
        }
        if !has_rust(config) {
            readers.headers.retain(|file| !is_rust(file));
            readers.sources.retain(|file| !is_rust(file));
        }
        let known = Known::of(build)?;
        let refused = refusal::readers(&readers);
        let mut sources = readers.sources;
        let is_included = |file: &String| !includes.readers(&[file.as_str()]).sources.is_empty();
        // What others include is compiled alone as well only if a makefile says so.
        let is_compiled = |file: &String| {
            known.has(file) && (!is_included(file) || has_rule(&build.kernel_tree, file))
        };
        sources.retain(|file| !refusal::is_of_the_build(file) && is_compiled(file));
        let (read, named): (BTreeSet<String>, BTreeSet<String>) = touched
            .iter()
            .cloned()
            .partition(|file| !file.ends_with(".c") || (is_included(file) && !is_compiled(file)));
        affected.named = units(&named);
        affected.readers = units(&sources);
        affected
            .readers
            .retain(|unit| !affected.named.contains(unit));
        affected.read = read;
        affected.read.extend(named);
        if affected.readers.len() > build.max_readers {
            affected.refusals.push(Refusal::TooBroad {
                files: touched.iter().cloned().collect(),
                objects: affected.readers.len(),
                maximum: build.max_readers,
            });
        } else {
            affected.refusals.extend(refused);
            affected.refusals.extend(refusal::paths(&sources));
        }
        Ok(affected)
    }
}

/// Source files of the kernel and its modules, by their names without folders.
struct Known(BTreeSet<String>);

impl Known {
    fn of(build: &Build) -> Result<Self, Error> {
        let mut names = file_names(&build.vmlinux)?;
        let modules: Vec<PathBuf> = match &build.modules {
            Some(folder) => symbol_files::module_files(folder)?,
            None => Vec::new(),
        };
        for module in modules {
            names.extend(file_names(&module)?);
        }
        Ok(Self(names))
    }

    fn has(&self, file: &str) -> bool {
        let name = file.rsplit('/').next().unwrap_or(file);
        self.0.contains(name)
    }
}

/// Whether a makefile names the object of a source file: that of its folder, or of one above.
fn has_rule(tree: &Path, source: &str) -> bool {
    let Some(object) = source.strip_suffix(".c").map(|stem| format!("{stem}.o")) else {
        return false;
    };
    let folders = Path::new(&object).ancestors().skip(1);
    folders.into_iter().any(|folder| {
        let Ok(object) = Path::new(&object).strip_prefix(folder) else {
            return false;
        };
        let object = object.to_string_lossy();
        ["Makefile", "Kbuild"].iter().any(|name| {
            let text = fs::read_to_string(tree.join(folder).join(name));
            let text = text.unwrap_or_default();
            text.split_whitespace().any(|word| word == object)
        })
    })
}

fn is_rust(file: &str) -> bool {
    file.starts_with("rust/")
}

fn has_rust(config: &[u8]) -> bool {
    config
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"CONFIG_RUST=y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_may_be_in_a_folder_above() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("kernel/sched")).unwrap();
        let makefile = |folder: &str, text: &str| {
            fs::write(tree.path().join(folder).join("Makefile"), text).unwrap();
        };
        makefile("kernel", "obj-y += user.o sched/extra.o\nobj-y += sched/\n");
        makefile(
            "kernel/sched",
            "obj-y += core.o\nobj-y += build_utility.o\n",
        );
        for (file, has) in [
            ("kernel/user.c", true),
            ("kernel/sched/core.c", true),
            ("kernel/sched/extra.c", true),
            ("kernel/sched/utility.c", false),
            ("kernel/sched/user.c", false),
        ] {
            assert_eq!(has_rule(tree.path(), file), has, "{file}");
        }
    }
}
