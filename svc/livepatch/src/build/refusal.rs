//! What a build refuses.

use std::collections::BTreeSet;
use std::path::Path;

/// Most bytes of a module's name (`MODULE_NAME_LEN` less the terminator, `include/linux/moduleparam.h`, v7.3).
const NAME_MAXIMUM: usize = klp_abi::OBJECT_NAME_BYTES;

/// A reason why there is no module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A file that is not compiled C.
    #[error("{path}: {why}")]
    Path {
        /// The file.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// A name that no module can have.
    #[error("name {name:?}: a module has 1 to {NAME_MAXIMUM} letters, digits, - and _")]
    Name {
        /// The name.
        name: String,
    },
    /// A patched module's file is needed.
    #[error(
        "module {module}: its file is needed for the positions of symbols; name the folder with --modules"
    )]
    ModuleNotGiven {
        /// Name of the module.
        module: String,
    },
    /// The original object is not what the kernel was linked from.
    #[error(
        "{object}: function {function} has {compiled} bytes when compiled from this tree, and {linked} in the kernel: tree, \
         configuration or compiler are not those of the kernel"
    )]
    NotTheKernel {
        /// `vmlinux`, or a module.
        object: String,
        /// Name of the function.
        function: String,
        /// Bytes compiled.
        compiled: u64,
        /// Bytes in the linked file.
        linked: u64,
    },
    /// A source file that the kernel was not linked from.
    #[error(
        "{file}: nothing in {object} was compiled from it; if another file includes it, patch that one"
    )]
    NotLinked {
        /// `vmlinux`, or a module.
        object: String,
        /// The source file.
        file: String,
    },
    /// A change that cannot be livepatched.
    #[error("{object}: {what}")]
    Change {
        /// `vmlinux`, or a module.
        object: String,
        /// What and why.
        what: String,
    },
}

/// Paths that cannot be livepatched, and why.
const PATHS: [(fn(&str) -> bool, &str); 7] = [
    (
        |path| path.split('/').any(|part| matches!(part, "" | "." | "..")),
        "it may not be below the tree",
    ),
    (
        |path| path.ends_with(".S"),
        "assembly has no tracer that could replace it",
    ),
    (
        |path| path.contains("/vdso/"),
        "it is mapped into programs, which run it without the kernel",
    ),
    (
        |path| path.contains("/realmode/rm/"),
        "it runs before the kernel",
    ),
    (
        |path| path.starts_with("lib/"),
        "code of lib/ may be linked from an archive, in another order than it is compiled",
    ),
    (
        |path| path.ends_with(".h"),
        "a header changes objects that the patch does not name; patch the .c files that use it",
    ),
    (|path| !path.ends_with(".c"), "only C files can be patched"),
];

pub(super) fn paths(touched: &BTreeSet<String>) -> Vec<Refusal> {
    let refused = touched.iter().filter_map(|path| {
        let (_, why) = PATHS.iter().find(|(is_refused, _)| is_refused(path))?;
        let path = path.clone();
        Some(Refusal::Path { path, why })
    });
    let mut refused: Vec<Refusal> = refused.collect();
    if touched.is_empty() {
        refused.push(Refusal::Path {
            path: "the patch".to_owned(),
            why: "it names no file",
        });
    }
    refused
}

/// Files that a patch makes.
pub(super) fn new_files(touched: &BTreeSet<String>, tree: &Path) -> Vec<Refusal> {
    let new = touched.iter().filter(|path| !tree.join(path).exists());
    new.map(|path| Refusal::Path {
        path: path.clone(),
        why: "it is new, and there is nothing to compare it with; put its functions into a file that is there",
    })
    .collect()
}

pub(super) fn name(name: &str) -> Option<Refusal> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let is_name = (1..=NAME_MAXIMUM).contains(&name.len()) && name.chars().all(is_letter);
    let name = name.to_owned();
    (!is_name).then_some(Refusal::Name { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_cannot_be_patched_is_told() {
        let touched = [
            "fs/x.c",
            "lib/y.c",
            "arch/x86/entry/vdso/z.c",
            "a.S",
            "b.h",
            "Makefile",
            "../outside.c",
            "/etc/outside.c",
        ];
        let touched = touched.into_iter().map(str::to_owned).collect();
        let refused: Vec<String> = paths(&touched).iter().map(Refusal::to_string).collect();
        assert_eq!(refused.len(), 7, "{refused:?}");
        assert!(refused.iter().all(|text| !text.starts_with("fs/x.c")));
        assert_eq!(paths(&BTreeSet::new()).len(), 1);
        let tree = tempfile::tempdir().unwrap();
        let new = ["fs/new.c".to_owned()].into();
        assert_eq!(new_files(&new, tree.path()).len(), 1);
    }

    #[test]
    fn a_name_is_one_that_the_kernel_takes() {
        assert_eq!(name("livepatch-fix_1"), None);
        for wrong in ["", "a b", "a.b", &"x".repeat(56)] {
            assert!(name(wrong).is_some(), "{wrong}");
        }
    }
}
