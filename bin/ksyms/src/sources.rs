//! Tables of the files on the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use kernel_symbols::kallsyms::{self, ModuleRegions};
use kernel_symbols::module::{ElfError, Phase};
use kernel_symbols::{Module, ObjectKind, Table, Traced, vmlinux};
use symbol_files::{FileKind, LoadedModule, PROC_KALLSYMS, module_files, module_name};

use crate::cli::SourceArgs;

/// Where modules begin that are not loaded: where x86-64 has them.
const BASE: u64 = 0xffff_ffff_c000_0000;

/// Reads the files, or the symbols of the running kernel.
pub(crate) fn load(args: &SourceArgs) -> Result<Vec<Table<'static>>> {
    let running = [PathBuf::from(PROC_KALLSYMS)];
    let files = if args.files.is_empty() {
        &running[..]
    } else {
        &args.files
    };
    let mut tables = Vec::new();
    let mut base = BASE;
    for path in files {
        let bytes = symbol_files::read(path)?;
        let table = match symbol_files::kind(&bytes) {
            FileKind::Text => text(args, path, bytes)?,
            FileKind::Vmlinux => vmlinux::parse(&bytes)
                .with_context(|| of(path))?
                .into_owned(),
            FileKind::Module => {
                let module = Module::parse(&bytes).with_context(|| of(path))?;
                let table = match sections(args, path, &module)? {
                    Some(loaded) => module.table_at(&loaded.sections(), Phase::Live),
                    None => module.table(base, Phase::Live),
                };
                let regions = module.regions_from(base, Phase::Loading);
                base = regions.last().map_or(base, |region| region.end);
                table.with_context(|| of(path))?.into_owned()
            }
        };
        tables.push(table);
    }
    Ok(tables)
}

/// A module as it is while it is loaded and after it.
pub(crate) struct Phases {
    pub(crate) live: Table<'static>,
    pub(crate) loading: Option<Table<'static>>,
    /// Where the tracer can be called from.
    pub(crate) traced: Option<Traced>,
}

/// Reads a file for what livepatch finds in it; names are indexed.
pub(crate) fn phases(path: &Path) -> Result<Phases> {
    let bytes = symbol_files::read(path)?;
    let (mut live, mut loading, traced) = match symbol_files::kind(&bytes) {
        FileKind::Text => {
            let table = kallsyms::parse(bytes, &[]).with_context(|| of(path))?;
            (table, None, None)
        }
        FileKind::Vmlinux => {
            let table = vmlinux::parse(&bytes).with_context(|| of(path))?;
            let traced = Traced::of_vmlinux(&bytes).with_context(|| of(path))?;
            (table.into_owned(), None, traced)
        }
        FileKind::Module => {
            let module = Module::parse(&bytes).with_context(|| of(path))?;
            let table =
                |phase| -> Result<_, ElfError> { Ok(module.table(BASE, phase)?.into_owned()) };
            let live = table(Phase::Live).with_context(|| of(path))?;
            let loading = table(Phase::Loading).with_context(|| of(path))?;
            (live, Some(loading), Some(Traced::of_module(&module, BASE)))
        }
    };
    live.index_names();
    if let Some(loading) = &mut loading {
        loading.index_names();
    }
    Ok(Phases {
        live,
        loading,
        traced,
    })
}

fn of(path: &Path) -> String {
    format!("use {}", path.display())
}

fn text(args: &SourceArgs, path: &Path, bytes: Vec<u8>) -> Result<Table<'static>> {
    let Some(folder) = &args.modules else {
        return kallsyms::parse(bytes, &[]).with_context(|| of(path));
    };
    let table = kallsyms::parse(&bytes[..], &[]).with_context(|| of(path))?;
    let files = module_files(folder)?;
    let files: BTreeMap<String, &PathBuf> = files
        .iter()
        .filter_map(|path| Some((module_name(path)?, path)))
        .collect();
    let mut regions = Vec::new();
    for object in table.objects().filter(|it| it.kind == ObjectKind::Module) {
        let name = object.name.to_string();
        let Some((path, loaded)) = files
            .get(&name)
            .zip(LoadedModule::read(&args.sys_module, &name)?)
        else {
            continue;
        };
        let file = symbol_files::read(path)?;
        let module = Module::parse(&file).with_context(|| of(path))?;
        regions.push(ModuleRegions {
            module: name,
            regions: module.regions_at(&loaded.sections()),
        });
    }
    drop(table);
    kallsyms::parse(bytes, &regions).with_context(|| of(path))
}

/// Sections of a module that is said to be loaded.
fn sections(args: &SourceArgs, path: &Path, module: &Module<'_>) -> Result<Option<LoadedModule>> {
    if !args.loaded {
        return Ok(None);
    }
    let name = module.name().map(|name| name.to_string());
    let name = name.or_else(|| module_name(path)).unwrap_or_default();
    let loaded = LoadedModule::read(&args.sys_module, &name)?;
    let loaded = loaded.ok_or_else(|| {
        let folder = args.sys_module.display();
        anyhow!(
            "find the module {name} of {} in {folder}: it is not loaded",
            path.display()
        )
    })?;
    Ok(Some(loaded))
}
