//! Modules that are loaded.

use std::fs;
use std::path::Path;

use kernel_symbols::module::SectionAddress;

use crate::error::FileError;

/// Where the kernel tells about its modules.
pub const SYS_MODULE: &str = "/sys/module";

/// Where the kernel has put the sections of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedModule {
    sections: Vec<(String, u64)>,
}

impl LoadedModule {
    /// Reads `FOLDER/NAME/sections`, FOLDER being [`SYS_MODULE`]. `None` when no such module is loaded, or it is
    /// part of the kernel.
    ///
    /// # Errors
    /// [`FileError`]; [`FileError::Restricted`] when the kernel hides the addresses.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>, FileError> {
        let folder = folder.join(name).join("sections");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::io("list", &folder)(error)),
        };
        let mut sections = Vec::new();
        for entry in entries {
            let entry = entry.map_err(FileError::io("list", &folder))?;
            let path = entry.path();
            let text = fs::read_to_string(&path).map_err(FileError::io("read", &path))?;
            let digits = text.trim();
            let digits = digits.strip_prefix("0x").unwrap_or(digits);
            let addr =
                u64::from_str_radix(digits, 16).map_err(|_no_number| FileError::Address {
                    path: path.clone(),
                    found: text.chars().take(40).collect(),
                })?;
            sections.push((entry.file_name().to_string_lossy().into_owned(), addr));
        }
        if !sections.is_empty() && sections.iter().all(|(_, addr)| *addr == 0) {
            return Err(FileError::Restricted { path: folder });
        }
        // Folders are in no order.
        sections.sort_unstable();
        Ok(Some(Self { sections }))
    }

    /// The addresses, for `Module::table_at`.
    #[must_use]
    pub fn sections(&self) -> Vec<SectionAddress<'_>> {
        let sections = self.sections.iter();
        sections
            .map(|(name, addr)| SectionAddress { name, addr: *addr })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(sections: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m/sections");
        fs::create_dir_all(&path).unwrap();
        for (name, content) in sections {
            fs::write(path.join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let folder = folder_with(&[
            (".text", "0xffffffffc0001000\n"),
            (".data", "0xffffffffc0003000\n"),
        ]);
        let module = LoadedModule::read(folder.path(), "m").unwrap().unwrap();
        let found: Vec<_> = module
            .sections()
            .iter()
            .map(|it| (it.name, it.addr))
            .collect();
        assert_eq!(
            found,
            [
                (".data", 0xffff_ffff_c000_3000),
                (".text", 0xffff_ffff_c000_1000)
            ]
        );
        assert_eq!(LoadedModule::read(folder.path(), "other").unwrap(), None);
    }

    #[test]
    fn hidden_addresses_and_nonsense_are_errors() {
        let folder = folder_with(&[(".text", "0x0000000000000000\n"), (".data", "0x0\n")]);
        let error = LoadedModule::read(folder.path(), "m").unwrap_err();
        assert!(matches!(error, FileError::Restricted { .. }), "{error}");
        let folder = folder_with(&[(".text", "here\n")]);
        let error = LoadedModule::read(folder.path(), "m").unwrap_err();
        assert!(matches!(error, FileError::Address { .. }), "{error}");
    }
}
