//! Builds modules of this project against a finished kernel, beside which they are kept.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, begin};
use crate::config_hash::ConfigHash;
use crate::error::{Error, io_error};
use crate::kernel::Kernel;
use crate::kernel_make::make;
use crate::logged_command::LoggedCommand;
use crate::rust_toolchain::rust_toolchain;

/// The source of a module, out of tree.
#[derive(Clone, Debug)]
pub struct ModuleSource {
    name: &'static str,
    folder: PathBuf,
    /// Files that its folder only refers to.
    shared: Vec<PathBuf>,
}

impl ModuleSource {
    /// The pstore backend over kexec handover, of a checked out repository.
    pub fn pstore_kho(repository: &Path) -> Self {
        Self {
            name: "pstore_kho",
            folder: repository.join("kmod/pstore_kho"),
            shared: vec![repository.join("abi/kho-abi/src/pstore.rs")],
        }
    }

    /// Where the module for today's source belongs.
    fn target(&self, kernel: &Kernel) -> Result<PathBuf, Error> {
        let mut content = Vec::new();
        let entries = fs::read_dir(&self.folder).map_err(io_error("list", &self.folder))?;
        let entries = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut files: Vec<PathBuf> = entries
            .collect::<Result<_, _>>()
            .map_err(io_error("list", &self.folder))?;
        files.sort();
        for file in files.iter().chain(&self.shared) {
            let name = file.file_name().unwrap_or_default();
            content.extend_from_slice(name.as_encoded_bytes());
            content.extend(fs::read(file).map_err(io_error("read", file))?);
        }
        let hash = ConfigHash::of(&content);
        Ok(kernel.folder.join(format!("{}-{hash}.ko", self.name)))
    }
}

/// Finds a module that was built for a kernel from today's source.
///
/// # Errors
/// [`Error::NoModule`] says how it is built.
pub fn locate_module(kernel: &Kernel, module: &ModuleSource) -> Result<PathBuf, Error> {
    let target = module.target(kernel)?;
    if target.is_file() {
        return Ok(target);
    }
    Err(Error::NoModule {
        name: module.name.to_owned(),
        key: key_of(kernel),
    })
}

/// Returns a module for a kernel of [`Flavour::Rust`](crate::Flavour::Rust), building it when its source has changed.
///
/// # Errors
/// [`Error::Step`] when it does not compile; nothing is left then.
pub fn build_module(kernel: &Kernel, module: &ModuleSource) -> Result<PathBuf, Error> {
    build_in(&Cache::from_env()?, kernel, module)
}

fn build_in(cache: &Cache, kernel: &Kernel, module: &ModuleSource) -> Result<PathBuf, Error> {
    let target = module.target(kernel)?;
    if target.is_file() {
        return Ok(target);
    }
    if !kernel.headers.join("Module.symvers").is_file() {
        return Err(Error::NoRust {
            key: key_of(kernel),
        });
    }
    let _lock = cache.lock()?;
    let output = begin(&cache.kernels())?;
    let mut command = make();
    rust_toolchain(cache)?.apply(&mut command);
    command
        .arg("-C")
        .arg(&kernel.source)
        .arg(format!("O={}", kernel.headers.display()))
        .arg(format!("M={}", module.folder.display()))
        .arg(format!("MO={}", output.path().display()))
        .arg("modules");
    let step = format!("kernel {}: {}", kernel.version, module.name);
    let log = cache.log(&format!("{}-{}", kernel.version, module.name));
    LoggedCommand::new(&step, command, log).run()?;
    let built = output.path().join(format!("{}.ko", module.name));
    // Whole or not at all; both folders are in the cache.
    fs::rename(&built, &target).map_err(io_error("keep", &built))?;
    remove_older(&target, module.name)?;
    Ok(target)
}

/// Removes what was built from earlier sources.
fn remove_older(target: &Path, name: &str) -> Result<(), Error> {
    let folder = target.parent().unwrap_or(target);
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let path = entry.map_err(io_error("list", folder))?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let is_of_module = file.starts_with(&format!("{name}-")) && file.ends_with(".ko");
        if is_of_module && path != *target {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

fn key_of(kernel: &Kernel) -> String {
    let name = kernel.folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(folder: &Path) -> Kernel {
        let at = |name: &str| folder.join(name);
        Kernel {
            version: "7.3.9-1".into(),
            release: "7.3.9".into(),
            bzimage: at("bzImage"),
            system_map: at("System.map"),
            source: at("source"),
            config: at("config"),
            headers: at("build"),
            folder: folder.to_owned(),
        }
    }

    fn module(folder: &Path) -> ModuleSource {
        let module = ModuleSource {
            name: "thing",
            folder: folder.join("thing"),
            shared: vec![folder.join("shared.rs")],
        };
        fs::create_dir_all(&module.folder).unwrap();
        fs::write(module.folder.join("a.rs"), "a").unwrap();
        fs::write(&module.shared[0], "s").unwrap();
        module
    }

    #[test]
    fn a_module_is_that_of_its_source_only() {
        let folder = tempfile::tempdir().unwrap();
        let (kernel, module) = (kernel(folder.path()), module(folder.path()));
        let missing = locate_module(&kernel, &module).unwrap_err().to_string();
        assert!(missing.contains("kernel build --rust"), "{missing}");
        let target = module.target(&kernel).unwrap();
        fs::write(&target, "").unwrap();
        assert_eq!(locate_module(&kernel, &module).unwrap(), target);
        fs::write(&module.shared[0], "changed").unwrap();
        assert!(locate_module(&kernel, &module).is_err());
        let changed = module.target(&kernel).unwrap();
        remove_older(&changed, module.name).unwrap();
        assert!(!target.exists());
    }

    #[test]
    fn a_kernel_without_rust_is_refused_before_anything_is_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let (kernel, module) = (kernel(folder.path()), module(folder.path()));
        let error = build_in(&cache, &kernel, &module).unwrap_err();
        assert!(matches!(error, Error::NoRust { .. }), "{error}");
    }
}
