//! Modules on disk.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::FileError;

/// What modules' files are called.
const EXTENSIONS: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// Lists modules below a folder, sorted; links are not followed.
///
/// # Errors
/// [`FileError::Io`] when a folder cannot be listed.
pub fn module_files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(FileError::io("list", &folder))? {
            let entry = entry.map_err(FileError::io("list", &folder))?;
            let kind = entry
                .file_type()
                .map_err(FileError::io("look at", entry.path()))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && stem(&entry.path()).is_some() {
                found.push(entry.path());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What the kernel calls the module of a file: its name without the ending, with `_` for `-`. `None` when it is not named
/// like a module.
#[must_use]
pub fn module_name(path: &Path) -> Option<String> {
    Some(stem(path)?.replace('-', "_"))
}

fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = EXTENSIONS
        .iter()
        .find_map(|extension| name.strip_suffix(extension))?;
    (!stem.is_empty()).then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_listed_and_named_as_the_kernel_names_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("net/core")).unwrap();
        for file in [
            "net/b-c.ko.xz",
            "net/core/a.ko",
            "x.ko.zst",
            "modules.dep",
            "net/.ko",
        ] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let files = module_files(folder.path()).unwrap();
        let names: Vec<_> = files.iter().filter_map(|path| module_name(path)).collect();
        assert_eq!(names, ["b_c", "a", "x"]);
        assert!(module_files(&folder.path().join("absent")).is_err());
        assert_eq!(module_name(Path::new("vmlinux")), None);
    }
}
