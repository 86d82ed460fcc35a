//! A livepatch module checked against the files of a kernel.

use std::fs;
use std::path::{Path, PathBuf};

use elf_index::Object;
use kernel_symbols::klp::Target;
use kernel_symbols::module::{ElfError, Phase};
use kernel_symbols::{Module, Table, Traced, VMLINUX, vmlinux};
use klp_verify::{Facts, Given, Problem, Running, build_id, verify};

use crate::error::Error;
use crate::linked::BASE;

/// Files to check a livepatch module with.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The livepatch module.
    pub patch: PathBuf,
    /// The kernel.
    pub vmlinux: PathBuf,
    /// Modules that it patches or depends on.
    pub modules: Vec<PathBuf>,
    /// Where what runs tells its build identities, `/sys`; `None` for a kernel that does not run here.
    pub running: Option<PathBuf>,
}

/// Symbols of an object.
struct Symbols {
    live: Table<'static>,
    loading: Option<Table<'static>>,
    traced: Option<Traced>,
}

impl Verification {
    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`Error::File`], [`Error::Object`], [`Error::Symbols`]: a file could not be read, and nothing was decided.
    pub fn run(&self) -> Result<Vec<Problem>, Error> {
        let patch = symbol_files::read(&self.patch)?;
        let kernel = symbol_files::read(&self.vmlinux)?;
        let modules = self.modules.iter();
        let modules: Vec<Vec<u8>> = modules
            .map(|path| symbol_files::read(path))
            .collect::<Result<_, _>>()?;
        let patch_object = object(&patch, &self.patch)?;
        let kernel_object = object(&kernel, &self.vmlinux)?;
        let with_paths = || modules.iter().zip(&self.modules);
        let module_objects: Vec<Object<'_>> = with_paths()
            .map(|(bytes, path)| object(bytes, path))
            .collect::<Result<_, _>>()?;
        let mut symbols = vec![kernel_symbols(&kernel).map_err(symbols_of(&self.vmlinux))?];
        for (bytes, path) in with_paths() {
            symbols.push(module_symbols(bytes).map_err(symbols_of(path))?);
        }
        let targets: Vec<Target<'_>> = symbols
            .iter()
            .map(|it| Target {
                live: &it.live,
                loading: it.loading.as_ref(),
                traced: it.traced.as_ref(),
            })
            .collect();
        let facts: Vec<Facts<'_>> = module_objects.iter().map(Facts::of_module).collect();
        let notes = self.notes(&facts);
        let running: Vec<Running<'_>> = notes
            .iter()
            .map(|(object, notes)| Running {
                object,
                build_id: build_id(notes),
            })
            .collect();
        Ok(verify(Given {
            patch: &Module::parse(&patch).map_err(symbols_of(&self.patch))?,
            facts: &Facts::of_module(&patch_object),
            kernel: &Facts::of_vmlinux(&kernel_object),
            modules: &facts,
            targets: &targets,
            running: &running,
        }))
    }

    /// Notes of what runs, empty for what is not there.
    fn notes(&self, modules: &[Facts<'_>]) -> Vec<(String, Vec<u8>)> {
        let Some(sys) = &self.running else {
            return Vec::new();
        };
        let kernel = (VMLINUX.to_owned(), sys.join("kernel/notes"));
        let modules = modules.iter().map(|module| {
            let notes = sys.join("module").join(module.name);
            (
                module.name.to_owned(),
                notes.join("notes/.note.gnu.build-id"),
            )
        });
        [kernel]
            .into_iter()
            .chain(modules)
            .map(|(name, path)| (name, fs::read(path).unwrap_or_default()))
            .collect()
    }
}

fn object<'b>(bytes: &'b [u8], path: &Path) -> Result<Object<'b>, Error> {
    Object::parse(bytes).map_err(|source| Error::Object {
        path: path.to_owned(),
        source,
    })
}

fn symbols_of(path: &Path) -> impl FnOnce(ElfError) -> Error {
    let path = path.to_owned();
    move |source| Error::Symbols { path, source }
}

fn kernel_symbols(bytes: &[u8]) -> Result<Symbols, ElfError> {
    let mut live = vmlinux::parse(bytes)?.into_owned();
    live.index_names();
    Ok(Symbols {
        live,
        loading: None,
        traced: Traced::of_vmlinux(bytes)?,
    })
}

fn module_symbols(bytes: &[u8]) -> Result<Symbols, ElfError> {
    let module = Module::parse(bytes)?;
    let table = |phase| -> Result<_, ElfError> {
        let mut table = module.table(BASE, phase)?.into_owned();
        table.index_names();
        Ok(table)
    };
    Ok(Symbols {
        live: table(Phase::Live)?,
        loading: Some(table(Phase::Loading)?),
        traced: Some(Traced::of_module(&module, BASE)),
    })
}
