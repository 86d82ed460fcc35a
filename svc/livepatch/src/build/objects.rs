//! Objects that a patch touches: what of the kernel they are part of, and how they differ.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use elf_index::{Binding, Object};
use klp_abi::VMLINUX;
use klp_diff::Exports;
use klp_module::{Change, extract};

use super::kbuild::Pair;
use super::refusal::Refusal;
use crate::comparison::Comparison;
use crate::error::Error;
use crate::input::Input;
use crate::linked::LinkedFile;
use crate::words;

/// A source file and its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Path of the source below the tree, without its extension.
    path: String,
}

impl Unit {
    /// What make is asked for.
    pub(super) fn target(&self) -> String {
        format!("{}.o", self.path)
    }

    /// Its object below a folder.
    pub(super) fn object(&self, folder: &Path) -> PathBuf {
        folder.join(self.target())
    }

    /// The file below a folder in which make keeps how it was compiled.
    pub(super) fn command(&self, folder: &Path) -> PathBuf {
        let object = self.object(folder);
        let name = object.file_name().unwrap_or_default().to_string_lossy();
        object.with_file_name(format!(".{name}.cmd"))
    }
}

pub(super) fn units(touched: &BTreeSet<String>) -> Vec<Unit> {
    let units = touched.iter().filter_map(|path| {
        let path = path.strip_suffix(".c")?.to_owned();
        Some(Unit { path })
    });
    units.collect()
}

/// Whether the compiler read one of these files for a unit, from what make noted of it.
pub(super) fn has_read(command: &str, files: &BTreeSet<String>) -> bool {
    command.lines().any(|line| {
        let path = line.trim().trim_end_matches('\\').trim_end();
        files.iter().any(|file| {
            let rest = path.strip_suffix(file.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', ' ']))
        })
    })
}

/// Names of the source files that a linked file has, without their folders.
pub(super) fn file_names(linked: &Path) -> Result<BTreeSet<String>, Error> {
    let bytes = symbol_files::read(linked)?;
    let object = Object::parse(&bytes).map_err(|source| Error::Object {
        path: linked.to_owned(),
        source,
    })?;
    let files = object.symbols_with_ids().filter(|(_, it)| it.is_file());
    Ok(files.map(|(_, it)| it.name.to_owned()).collect())
}

/// Name of the object that a unit is part of, from the command that compiled it.
pub(super) fn membership(command: &str) -> Option<String> {
    let line = command.lines().next()?;
    if !line.split_whitespace().any(|word| word == "-DMODULE") {
        return Some(VMLINUX.to_owned());
    }
    let name = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("-D__KBUILD_MODNAME="))?;
    Some(name.to_owned())
}

/// What a comparison gives.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Replaced functions.
    pub(super) functions: Vec<String>,
    /// What cannot be livepatched.
    pub(super) refusals: Vec<Refusal>,
    /// The object of the change; `None` when something is refused or nothing changed.
    pub(super) bytes: Option<Vec<u8>>,
}

pub(super) fn compare(
    name: &str,
    pair: &Pair,
    linked: &Path,
    exports: &str,
    symvers: &Path,
) -> Result<Compared, Error> {
    let (before, after) = (Input::open(&pair.before)?, Input::open(&pair.after)?);
    let (before_object, after_object) = (before.object()?, after.object()?);
    let linked = Input::open(linked)?;
    let linked = LinkedFile::new(&linked, name)?;
    let positions = linked.positions(&before_object);
    let mut compared = Compared::default();
    let found = Comparison::new((&before_object, &pair.before), (&after_object, &pair.after))?;
    let is_changed = |id| found.difference.changed.iter().any(|(old, _)| *old == id);
    for file in positions.unknown_files() {
        compared.refusals.push(Refusal::NotLinked {
            object: name.to_owned(),
            file: file.to_owned(),
        });
    }
    for size in positions.other_sizes() {
        // A weak function that another one took the place of is not in the kernel, and need not be.
        let symbol = before_object.symbol(size.symbol);
        if symbol.is_some_and(|it| it.binding == Binding::WEAK) && !is_changed(size.symbol) {
            continue;
        }
        compared.refusals.push(Refusal::NotTheKernel {
            object: name.to_owned(),
            function: size.name.to_owned(),
            compiled: size.object,
            linked: size.linked,
        });
    }
    let exports = Exports::parse(exports, name).map_err(|source| Error::Exports {
        path: symvers.to_owned(),
        source,
    })?;
    let plan = found.plan(&exports);
    let refused = |what| Refusal::Change {
        object: name.to_owned(),
        what,
    };
    let difference = &found.difference;
    let changes = difference.refusals.iter();
    compared
        .refusals
        .extend(changes.map(|it| refused(words::refusal(*it, &found))));
    let obstacles = plan.obstacles.iter();
    compared
        .refusals
        .extend(obstacles.map(|it| refused(words::obstacle(*it, &after_object))));
    compared.functions = difference
        .changed
        .iter()
        .filter_map(|(_, id)| Some(after_object.symbol(*id)?.name.to_owned()))
        .collect();
    if !compared.refusals.is_empty() || difference.changed.is_empty() {
        return Ok(compared);
    }
    match extract(Change {
        before: &before_object,
        after: &after_object,
        difference,
        plan: &plan,
        exports: &exports,
        positions: &positions,
        patched: name,
    }) {
        Ok(bytes) => compared.bytes = Some(bytes),
        Err(error) => compared
            .refusals
            .push(refused(format!("failed to {error}"))),
    }
    Ok(compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_told_from_what_only_ends_alike() {
        let command = "savedcmd_fs/x.o := gcc -c -o fs/x.o fs/x.c\n\nsource_fs/x.o := /tree/fs/x.c\n\n\
                       deps_fs/x.o := \\\n    $(wildcard include/config/A) \\\n  /tree/fs/proc/internal.h \\\n  fs/y.h \\\n";
        let has = |file: &str| has_read(command, &[file.to_owned()].into());
        assert!(has("fs/proc/internal.h") && has("fs/y.h") && has("fs/x.c"));
        assert!(!has("proc/internal") && !has("s/y.h") && !has("internal.hx"));
    }

    #[test]
    fn a_unit_of_a_module_is_told_from_one_of_the_kernel() {
        let module =
            "savedcmd_fs/fuse/dir.o := gcc -DMODULE -D__KBUILD_MODNAME=fuse -c -o fs/fuse/dir.o";
        assert_eq!(membership(module).as_deref(), Some("fuse"));
        let kernel = "savedcmd_fs/x.o := gcc -D__KBUILD_MODNAME=x -DMODULES -c -o fs/x.o";
        assert_eq!(membership(kernel).as_deref(), Some(VMLINUX));
        assert_eq!(membership(""), None);
    }
}
