//! `klp build`: from source patches to a livepatch module.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use livepatch::{Build as Job, Built, Replace, Step};

use crate::diff::REFUSED;

/// Builds a livepatch module from source patches
///
/// Only the C files that the patches touch, or that read what they touch, are compiled, before and after: the kernel is not. The tree is never written to.
/// The exit code is 0 when the module was written, 3 when something cannot be livepatched (all of it is listed) or nothing
/// changed, and 1 when something failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// Source patches, applied in this order with patch -p1
    #[arg(required = true, value_name = "PATCH")]
    patches: Vec<PathBuf>,

    /// The kernel's source
    #[arg(long, value_name = "FOLDER")]
    kernel_tree: PathBuf,

    /// What the kernel was built to: its vmlinux, .config and Module.symvers are there [default: the tree]
    #[arg(long, value_name = "FOLDER")]
    kernel_output: Option<PathBuf>,

    /// The kernel's configuration [default: .config of its output]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The linked kernel [default: vmlinux of its output]
    #[arg(long, value_name = "FILE")]
    vmlinux: Option<PathBuf>,

    /// Who exports what [default: Module.symvers of its output]
    #[arg(long, value_name = "FILE")]
    symvers: Option<PathBuf>,

    /// Folder with the kernel's modules, for patches of modules [default: its output]
    #[arg(long, value_name = "FOLDER")]
    modules: Option<PathBuf>,

    /// Where prepared trees and original objects are kept [default: klp in the cache folder of the user]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// The module [default: livepatch-NAME.ko, by the name of the first patch]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Keep the compared objects in this folder, of each source file below orig and patched, for klp diff and klp explain
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,

    /// Compile up to so many objects that the patches do not name, since they may read a header of them
    #[arg(long, value_name = "OBJECTS", default_value_t = 64)]
    max_readers: usize,

    /// Keep the livepatches that are loaded already, instead of replacing them
    #[arg(long)]
    no_replace: bool,
}

impl Build {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let job = self.job()?;
        let start = Instant::now();
        let mut told = io::stderr();
        let built = job.run(&mut |step| {
            let seconds = start.elapsed().as_secs_f32();
            // Progress that nobody can read stops nothing.
            let _unread = writeln!(told, "[{seconds:6.1} s] {}", words(&step));
        })?;
        report(&built, &job.output, output)
    }

    fn job(&self) -> Result<Job> {
        let of_output = |given: &Option<PathBuf>, name: &str| match (given, &self.kernel_output) {
            (Some(path), _) => path.clone(),
            (None, Some(folder)) => folder.join(name),
            (None, None) => self.kernel_tree.join(name),
        };
        let output = match &self.output {
            Some(path) => path.clone(),
            None => PathBuf::from(format!("livepatch-{}.ko", self.patch_name())),
        };
        let name = output.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let config = of_output(&self.config, ".config");
        Ok(Job {
            patches: absolute(&self.patches)?,
            kernel_tree: self.kernel_tree.clone(),
            config,
            vmlinux: of_output(&self.vmlinux, "vmlinux"),
            symvers: of_output(&self.symvers, "Module.symvers"),
            modules: Some(of_output(&self.modules, "")),
            cache: match &self.cache {
                Some(folder) => folder.clone(),
                None => cache()?,
            },
            name,
            replace: if self.no_replace {
                Replace::None
            } else {
                Replace::All
            },
            max_readers: self.max_readers,
            output,
            keep: self.keep.clone(),
        })
    }

    /// The first patch without the end of its name.
    fn patch_name(&self) -> String {
        let first = self.patches.first().map(PathBuf::as_path);
        let stem = first.unwrap_or(Path::new("")).file_stem();
        stem.unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The patches are read in another folder.
fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let each = paths
        .iter()
        .map(|path| std::path::absolute(path).with_context(|| format!("find {}", path.display())));
    each.collect()
}

fn cache() -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from);
    let base = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    let base = base.context("find a folder for the cache: name one with --cache")?;
    Ok(base.join("klp"))
}

fn words(step: &Step) -> String {
    match step {
        Step::Prepare => "prepare the tree".to_owned(),
        Step::Original { compiled, cached } => {
            format!("compile {compiled} original objects, {cached} are in the cache")
        }
        Step::Apply => "apply the patches".to_owned(),
        Step::Patched { compiled } => format!("compile {compiled} patched objects"),
        Step::Readers { objects, compiled } => {
            format!("{objects} of {compiled} objects that might read a file of the patches do")
        }
        Step::Compare { object } => format!("compare {object}"),
        Step::Module => "build the module".to_owned(),
        _ => format!("{step:?}"),
    }
}

fn report(built: &Built, module: &Path, output: &mut dyn Write) -> Result<ExitCode> {
    for (object, functions) in &built.functions {
        for function in functions {
            writeln!(output, "replaces {function} of {object}")?;
        }
    }
    for refusal in &built.refusals {
        writeln!(output, "REFUSED {refusal}")?;
    }
    if !built.refusals.is_empty() {
        return Ok(ExitCode::from(REFUSED));
    }
    if built.functions.is_empty() {
        writeln!(output, "nothing changed: no module")?;
        return Ok(ExitCode::from(REFUSED));
    }
    writeln!(output, "{}", module.display())?;
    Ok(ExitCode::SUCCESS)
}
