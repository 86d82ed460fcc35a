//! What a build refuses.

use std::collections::BTreeSet;
use std::path::Path;

use super::includes::Readers;

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
    /// A header that too many objects may read.
    #[error(
        "{}: {objects} objects may read it, and more than {maximum} are refused; allow them with --max-readers {objects}",
        files.join(", ")
    )]
    TooBroad {
        /// The files of the patch.
        files: Vec<String>,
        /// Objects that would have to be compiled beside those of the files.
        objects: usize,
        /// How many are allowed.
        maximum: usize,
    },
    /// A header that the build makes of the sources.
    #[error(
        "{file}: the kernel's build makes it of what the patch changes, and it is another one then: everything that reads it may change"
    )]
    Generated {
        /// The header, below the output.
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
const PATHS: [(fn(&str) -> bool, &str); 6] = [
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
        |path| !path.ends_with(".c") && !path.ends_with(".h"),
        "only C files and headers can be patched",
    ),
];

pub(super) fn paths(paths: &BTreeSet<String>) -> Vec<Refusal> {
    let refused = paths.iter().filter_map(|path| {
        let (_, why) = PATHS.iter().find(|(is_refused, _)| is_refused(path))?;
        let path = path.clone();
        Some(Refusal::Path { path, why })
    });
    refused.collect()
}

/// A patch without any file.
pub(super) fn nothing(touched: &BTreeSet<String>) -> Option<Refusal> {
    touched.is_empty().then(|| Refusal::Path {
        path: "the patch".to_owned(),
        why: "it names no file",
    })
}

/// Why something that reads a file of the patch stands against it.
pub(super) fn readers(readers: &Readers) -> Vec<Refusal> {
    let others = readers.others.iter().map(|file| {
        let why = "it reads a file of the patch, and is no C: what changes in it is not known";
        (file, why)
    });
    let rust = readers
        .headers
        .iter()
        .filter(|file| file.starts_with("rust/"));
    let rust = rust.map(|file| {
        let why =
            "it reads a file of the patch for code in Rust: what changes in that is not known";
        (file, why)
    });
    let build = readers.sources.iter().filter(|file| is_of_the_build(file));
    let build = build.map(|file| {
        let why = "it reads a file of the patch, and the kernel's build is made of it: everything else may change";
        (file, why)
    });
    let all = others.chain(rust).chain(build);
    all.map(|(file, why)| Refusal::Path {
        path: file.clone(),
        why,
    })
    .collect()
}

/// Whether a source file is no part of the kernel, but a program that makes some. (What only computes offsets of it, as
/// `kernel/bounds.c` does, makes headers: those are compared.)
pub(super) fn is_of_the_build(file: &str) -> bool {
    ["scripts/", "arch/x86/purgatory/", "arch/x86/tools/"]
        .iter()
        .any(|folder| file.starts_with(folder))
}

/// C files that a patch makes.
pub(super) fn new_files(touched: &BTreeSet<String>, tree: &Path) -> Vec<Refusal> {
    let sources = touched.iter().filter(|path| path.ends_with(".c"));
    let new = sources.filter(|path| !tree.join(path).exists());
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
        assert_eq!(refused.len(), 6, "{refused:?}");
        let taken = ["fs/x.c", "b.h"];
        assert!(
            refused
                .iter()
                .all(|text| !taken.iter().any(|it| text.starts_with(it)))
        );
        assert!(nothing(&BTreeSet::new()).is_some());
        let tree = tempfile::tempdir().unwrap();
        // A header that nobody reads yet changes nothing by itself.
        let new = ["fs/new.c".to_owned(), "fs/new.h".to_owned()].into();
        assert_eq!(new_files(&new, tree.path()).len(), 1);
    }

    #[test]
    fn whatever_is_no_c_of_the_kernel_and_reads_a_header_is_told() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let found = readers(&Readers {
            sources: set(&[
                "fs/x.c",
                "scripts/mod/file2alias.c",
                "arch/x86/purgatory/purgatory.c",
            ]),
            headers: set(&["fs/x.h", "rust/bindings/bindings_helper.h"]),
            others: set(&["arch/x86/entry/entry_64.S", "fs/Makefile"]),
        });
        let found: Vec<String> = found.iter().map(Refusal::to_string).collect();
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(found.iter().all(|text| !text.starts_with("fs/x")));
    }

    #[test]
    fn a_name_is_one_that_the_kernel_takes() {
        assert_eq!(name("livepatch-fix_1"), None);
        for wrong in ["", "a b", "a.b", &"x".repeat(56)] {
            assert!(name(wrong).is_some(), "{wrong}");
        }
    }
}
