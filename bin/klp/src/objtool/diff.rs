//! `objtool klp diff`.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use elf_index::SymbolId;
use klp_abi::VMLINUX;
use livepatch::{Comparison, Input, object_name, words};

use crate::diff::Verdict;
use crate::plan::{PlanOptions, Told};

/// Exit code when there is no object because something cannot be livepatched.
const REFUSED: u8 = 1;

/// Writes the object of a change
///
/// Checksums are computed anew, by the contents of everything: those in the objects are not read. The kernel's
/// Module.symvers is looked for in the current folder and above it; for vmlinux.o the linked vmlinux is beside ORIG.
/// Nothing is written when nothing changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The object before the change
    orig: PathBuf,

    /// The object after it
    patched: PathBuf,

    /// The object of the change
    out: PathBuf,

    /// Print all of the following to the standard error
    #[arg(short, long)]
    debug: bool,

    /// Print what is copied, and what is referred to
    #[arg(long)]
    debug_clone: bool,

    /// Print which symbol is which, where names are not all there is to it
    #[arg(long)]
    debug_correlate: bool,
}

impl Diff {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let inputs = [Input::open(&self.orig)?, Input::open(&self.patched)?];
        let [orig, patched] = &inputs;
        let objects = [orig.object()?, patched.object()?];
        let [before, after] = &objects;
        let found = Comparison::new((before, &self.orig), (after, &self.patched))?;
        self.list(&found, output)?;
        if self.debug || self.debug_correlate {
            self.twins(&found)?;
        }
        let difference = &found.difference;
        for refusal in &difference.refusals {
            self.error(&words::refusal(*refusal, &found))?;
        }
        if !difference.refusals.is_empty() {
            return Ok(ExitCode::from(REFUSED));
        }
        if difference.changed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        self.extract(orig, &found)
    }

    fn extract(&self, orig: &Input, found: &Comparison<'_, '_>) -> Result<ExitCode> {
        // The kernel's object does not say what it is, and its own name decides.
        let is_kernel = self
            .orig
            .file_name()
            .is_some_and(|name| name == "vmlinux.o");
        let name = if is_kernel {
            VMLINUX.to_owned()
        } else {
            object_name(&self.orig, found.before.object())
        };
        let plan = PlanOptions {
            symvers: Some(symvers()?),
            linked: is_kernel.then(|| self.orig.with_extension("")),
            object: Some(name),
            output: Some(self.out.clone()),
        };
        let (mut told, mut refusals) = (Vec::new(), Vec::new());
        let verdict = plan.write(
            orig,
            found,
            &mut Told {
                plan: &mut told,
                refusals: &mut refusals,
            },
        );
        if self.debug || self.debug_clone {
            self.debug(&told)?;
        }
        if verdict? == Verdict::Possible {
            return Ok(ExitCode::SUCCESS);
        }
        self.error(String::from_utf8_lossy(&refusals).trim_end())?;
        Ok(ExitCode::from(REFUSED))
    }

    /// The lines that klp-build looks for.
    fn list(&self, found: &Comparison<'_, '_>, output: &mut dyn Write) -> io::Result<()> {
        let orig = self.orig.display();
        let functions = |id: &SymbolId| {
            let symbol = found.after.object().symbol(*id);
            symbol.filter(|symbol| symbol.is_func()).map(|it| it.name)
        };
        for name in found.difference.added.iter().filter_map(functions) {
            writeln!(output, "{orig}: new function: {name}")?;
        }
        let changed = found.difference.changed.iter().map(|(_, after)| after);
        for name in changed.filter_map(functions) {
            writeln!(output, "{orig}: changed function: {name}")?;
        }
        Ok(())
    }

    /// Twins with other names, those with a number, and what has none.
    fn twins(&self, found: &Comparison<'_, '_>) -> io::Result<()> {
        let mut lines = Vec::new();
        for item in found.after.items() {
            let own = words::name(&found.after, item.symbol);
            match found.twins.before(item.symbol) {
                Some(twin) => {
                    let other = words::name(&found.before, twin);
                    if other != own || item.is_numbered {
                        writeln!(lines, "{other} is {own}")?;
                    }
                }
                None => writeln!(lines, "nothing is {own}")?,
            }
        }
        self.debug(&lines)
    }

    fn debug(&self, lines: &[u8]) -> io::Result<()> {
        let mut told = io::BufWriter::new(io::stderr().lock());
        for line in String::from_utf8_lossy(lines).lines() {
            writeln!(told, "DEBUG: {}: {line}", self.orig.display())?;
        }
        told.flush()
    }

    fn error(&self, text: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{}: error: {text}", self.orig.display())
    }
}

/// The nearest Module.symvers: in the current folder, or in one above it.
fn symvers() -> Result<PathBuf> {
    const NAME: &str = "Module.symvers";
    let here = env::current_dir().context("find the current folder")?;
    let found = here.ancestors().map(|folder: &Path| folder.join(NAME));
    let found = found.into_iter().find(|path| path.is_file());
    found.with_context(|| {
        let here = here.display();
        format!("find {NAME}: it is neither in {here} nor above it; run this in the kernel's tree")
    })
}
