//! [`Build`]: from source patches to a livepatch module.
//!
//! Only the objects that a patch touches are compiled, before and after: not the kernel. What the kernel was linked to is
//! taken from its files, and each original object must fit them, or nothing is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kernel_symbols::klp::Severity;

use crate::error::Error;
use crate::verification::Verification;

mod affected;
mod includes;
mod kbuild;
mod lines;
mod module;
mod objects;
mod patch;
mod refusal;
mod work_tree;

pub use refusal::Refusal;

use affected::Affected;
use kbuild::Kbuild;
use objects::Unit;
use work_tree::WorkTree;

/// What a module is built from.
#[derive(Clone, Debug)]
pub struct Build {
    /// Source patches, applied in this order with `patch -p1`.
    pub patches: Vec<PathBuf>,
    /// The kernel's source. Nothing is written there.
    pub kernel_tree: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// The linked kernel.
    pub vmlinux: PathBuf,
    /// Who exports what.
    pub symvers: PathBuf,
    /// Folder with the kernel's modules.
    pub modules: Option<PathBuf>,
    /// Where the prepared tree and original objects are kept.
    pub cache: PathBuf,
    /// Name of the module.
    pub name: String,
    /// Whether it replaces every livepatch before it, or is added to them.
    pub replace: Replace,
    /// Most objects that are compiled since they may read a file of the patches.
    pub max_readers: usize,
    /// Where the module goes.
    pub output: PathBuf,
    /// Folder for copies of the compared objects, `OBJECT.orig.o` and `OBJECT.patched.o`, of what is compiled of each source
    /// file, below `orig/` and `patched/`, and of the module before its livepatch relocations are made, `NAME.unfinished.ko`.
    pub keep: Option<PathBuf>,
}

/// What happens to livepatches that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// They are replaced.
    All,
    /// They stay.
    None,
}

/// A step of a build, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The tree is prepared: once for each configuration and compiler.
    Prepare,
    /// Original objects are compiled; how many were not in the cache.
    Original {
        /// To compile.
        compiled: usize,
        /// In the cache.
        cached: usize,
    },
    /// The patches are applied.
    Apply,
    /// Patched objects are compiled.
    Patched {
        /// How many.
        compiled: usize,
    },
    /// Objects that read a header of the patches, or another file of them; they are compared, too.
    Readers {
        /// How many do.
        objects: usize,
        /// How many might have.
        compiled: usize,
    },
    /// An object is compared.
    Compare {
        /// `vmlinux`, or a module.
        object: String,
    },
    /// The module is built.
    Module,
}

/// What was built.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// Replaced functions, by the object they are of.
    pub functions: BTreeMap<String, Vec<String>>,
    /// Every reason why there is no module; with none, there is one.
    pub refusals: Vec<Refusal>,
}

impl Build {
    /// Builds the module. `tell_fn` hears of each step when it begins.
    ///
    /// # Errors
    ///
    /// [`Error`]: something failed, and nothing was decided. Whatever cannot be livepatched is in [`Built::refusals`].
    pub fn run(&self, tell_fn: &mut dyn FnMut(Step)) -> Result<Built, Error> {
        let mut built = Built::default();
        let touched = patch::touched(&self.texts()?);
        built.refusals = self.refused(&touched);
        if !built.refusals.is_empty() {
            return Ok(built);
        }
        let config = read(&self.config)?;
        let kbuild = Kbuild::open(&self.kernel_tree, &config, &self.cache, &mut || {
            tell_fn(Step::Prepare);
        })?;
        let affected = Affected::of(self, &kbuild.includes()?, &touched, &config)?;
        if !affected.refusals.is_empty() {
            built.refusals = affected.refusals;
            return Ok(built);
        }
        let units = match self.compile(&kbuild, affected, &touched, tell_fn)? {
            Compiled::Units(units) => units,
            Compiled::Refused(refusal) => {
                built.refusals.push(refusal);
                return Ok(built);
            }
        };
        let objects = kbuild.objects(&units)?;
        let mut parts = Vec::new();
        for (name, units) in &objects {
            tell_fn(Step::Compare {
                object: name.clone(),
            });
            let pair = kbuild.pair(name, units)?;
            if let Some(folder) = &self.keep {
                pair.keep(name, folder)?;
                kbuild.keep(units, folder)?;
            }
            parts.extend(self.part(name, &pair, &mut built)?);
        }
        if !built.refusals.is_empty() || parts.is_empty() {
            return Ok(built);
        }
        tell_fn(Step::Module);
        let symvers = read(&self.symvers)?;
        let keep = self.keep.as_deref();
        let path = module::build(&kbuild, &self.name, self.replace, &parts, &symvers, keep)?;
        built.refusals = self.verified(&path, objects.keys())?;
        if built.refusals.is_empty() {
            crate::write_whole(&self.output, &read(&path)?)?;
        }
        Ok(built)
    }

    /// What can be told from the names of files.
    fn refused(&self, touched: &BTreeSet<String>) -> Vec<Refusal> {
        let mut refusals = refusal::paths(touched);
        refusals.extend(refusal::nothing(touched));
        if refusals.is_empty() {
            refusals.extend(refusal::new_files(touched, &self.kernel_tree));
        }
        refusals.extend(refusal::name(&self.name));
        refusals
    }

    /// Compiles both builds of everything that the patches change.
    fn compile(
        &self,
        kbuild: &Kbuild,
        affected: Affected,
        touched: &BTreeSet<String>,
        tell_fn: &mut dyn FnMut(Step),
    ) -> Result<Compiled, Error> {
        let units = [&affected.named[..], &affected.readers].concat();
        let missing = kbuild.missing_originals(&units);
        tell_fn(Step::Original {
            compiled: missing.len(),
            cached: units.len().saturating_sub(missing.len()),
        });
        kbuild.compile_originals(&missing)?;
        let generated = kbuild.generated()?;
        let source = kbuild.source();
        let mut tree = WorkTree::new(kbuild.tree(), &source);
        tell_fn(Step::Apply);
        tree.apply(&self.patches, touched)?;
        tell_fn(Step::Patched {
            compiled: units.len(),
        });
        let patched = kbuild.compile_patched(&units);
        // As long as the patches are there, a build that is killed has the tree prepared anew by the next.
        let other = changed(&generated, &kbuild.generated()?);
        if other.is_some() {
            kbuild.spoil()?;
        }
        tree.restore()?;
        if let Some(file) = other {
            return Ok(Compiled::Refused(Refusal::Generated { file }));
        }
        patched?;
        if affected.readers.is_empty() {
            return Ok(Compiled::Units(units));
        }
        let mut reading = Vec::new();
        for unit in &affected.readers {
            if kbuild.has_read(unit, &affected.read)? {
                reading.push(unit.clone());
            }
        }
        tell_fn(Step::Readers {
            objects: reading.len(),
            compiled: affected.readers.len(),
        });
        Ok(Compiled::Units([affected.named, reading].concat()))
    }

    /// What the kernel would refuse of the module.
    fn verified(
        &self,
        module: &Path,
        objects: impl Iterator<Item = impl AsRef<str>>,
    ) -> Result<Vec<Refusal>, Error> {
        let patched = objects.filter(|name| name.as_ref() != klp_abi::VMLINUX);
        let modules = patched.map(|name| self.linked(name.as_ref()));
        let modules = modules.collect::<Result<Vec<_>, _>>()?;
        let verification = Verification {
            patch: module.to_owned(),
            vmlinux: self.vmlinux.clone(),
            modules: modules.into_iter().flatten().collect(),
            running: None,
        };
        let problems = verification.run()?.into_iter();
        let errors = problems.filter(|problem| problem.severity() == Severity::Error);
        let refusals = errors.map(|problem| Refusal::Change {
            object: self.name.clone(),
            what: problem.to_string(),
        });
        Ok(refusals.collect())
    }

    fn texts(&self) -> Result<Vec<String>, Error> {
        self.patches
            .iter()
            .map(|path| Ok(String::from_utf8_lossy(&read(path)?).into_owned()))
            .collect()
    }

    /// The object of the module for one object of the kernel.
    fn part(
        &self,
        name: &str,
        pair: &kbuild::Pair,
        built: &mut Built,
    ) -> Result<Option<module::Part>, Error> {
        let Some(linked) = self.linked(name)? else {
            built.refusals.push(Refusal::ModuleNotGiven {
                module: name.to_owned(),
            });
            return Ok(None);
        };
        let exports = String::from_utf8_lossy(&read(&self.symvers)?).into_owned();
        let compared = objects::compare(name, pair, &linked, &exports, &self.symvers)?;
        built.refusals.extend(compared.refusals);
        if !compared.functions.is_empty() {
            built.functions.insert(name.to_owned(), compared.functions);
        }
        Ok(compared.bytes.map(|bytes| module::Part {
            object: name.to_owned(),
            bytes,
        }))
    }

    /// The linked file of an object.
    fn linked(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        if name == klp_abi::VMLINUX {
            return Ok(Some(self.vmlinux.clone()));
        }
        let Some(folder) = &self.modules else {
            return Ok(None);
        };
        let files = symbol_files::module_files(folder)?;
        let is_it = |path: &PathBuf| symbol_files::module_name(path).as_deref() == Some(name);
        Ok(files.into_iter().find(is_it))
    }
}

/// Objects of the kernel with the units of them that a patch touches.
type Objects = BTreeMap<String, Vec<Unit>>;

/// What came of compiling.
enum Compiled {
    /// What is to be compared.
    Units(Vec<Unit>),
    Refused(Refusal),
}

/// The first header that is not what it was.
fn changed(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Option<String> {
    let new = after
        .iter()
        .find(|(file, sum)| before.get(*file) != Some(sum));
    new.map(|(file, _)| file.clone())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
