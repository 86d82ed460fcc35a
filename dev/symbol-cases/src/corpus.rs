//! The modules of a Debian kernel.

use anyhow::{Context as _, Result};
use kernel_build::{Freshness, debian_modules};
use symbol_files::{module_files, module_name};

/// Modules in memory.
#[derive(Debug)]
pub struct Corpus {
    /// Where they are from: package and version.
    pub package: String,
    /// The modules, by path.
    pub modules: Vec<CorpusModule>,
}

/// A module.
#[derive(Debug)]
pub struct CorpusModule {
    /// What the kernel calls it.
    pub name: String,
    /// Its file.
    pub bytes: Vec<u8>,
}

/// The module of `testdata`, which its README describes.
const COMMITTED: &[u8] = include_bytes!("../testdata/committed_one.ko");

impl Corpus {
    /// The module that is always here.
    #[must_use]
    pub fn committed() -> Self {
        Self {
            package: "testdata".to_owned(),
            modules: vec![CorpusModule {
                name: "committed_one".to_owned(),
                bytes: COMMITTED.to_vec(),
            }],
        }
    }

    /// Reads the modules of a Debian kernel: from the cache, else from the package mirror that this machine uses.
    ///
    /// # Errors
    /// They are neither in the cache nor can be fetched.
    pub fn load() -> Result<Self> {
        let found = debian_modules(Freshness::Cached).context("get modules of a Debian kernel")?;
        let mut modules = Vec::new();
        for path in module_files(&found.folder)? {
            modules.push(CorpusModule {
                name: module_name(&path).unwrap_or_default(),
                bytes: symbol_files::read(&path)?,
            });
        }
        Ok(Self {
            package: found.package,
            modules,
        })
    }
}
