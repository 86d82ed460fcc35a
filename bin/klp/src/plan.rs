//! The second half of `klp diff`: what a module of the change takes along, and what it needs of the kernel.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use elf_index::{Object, SymbolId};
use klp_abi::KlpSymbol;
use klp_diff::{Exports, InModule, InVmlinux, Inputs, Plan, Reach, SymbolPositions};
use livepatch::{Comparison, Input};

/// What a plan needs besides the two objects.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanOptions {
    /// Also tell what a module takes along and what it refers to; FILE is the kernel's Module.symvers
    #[arg(long, value_name = "FILE")]
    symvers: Option<PathBuf>,

    /// The kernel linked from ORIG, which decides the positions of symbols whose names are not unique
    #[arg(long, value_name = "FILE", requires = "symvers")]
    vmlinux: Option<PathBuf>,

    /// The patched module, or vmlinux [default: what ORIG says, else its file name]
    #[arg(long, value_name = "NAME", requires = "symvers")]
    object: Option<String>,
}

impl PlanOptions {
    /// Prints the plan, if it is asked for.
    pub(crate) fn run(
        &self,
        orig: &Path,
        found: &Comparison<'_, '_>,
        output: &mut dyn Write,
    ) -> Result<()> {
        let Some(symvers) = &self.symvers else {
            return Ok(());
        };
        let object = found.before.object();
        let name = match &self.object {
            Some(name) => name.clone(),
            None => object_name(orig, object),
        };
        let text =
            fs::read_to_string(symvers).with_context(|| format!("read {}", symvers.display()))?;
        let exports = Exports::parse(&text, &name)
            .with_context(|| format!("understand {}", symvers.display()))?;
        let inputs = Inputs {
            program: &found.program,
            after: &found.after,
            twins: &found.twins,
            difference: &found.difference,
        };
        let plan = Plan::new(inputs, &exports);
        match &self.vmlinux {
            Some(path) => {
                let input = Input::open(path)?;
                let linked = input.object()?;
                let object = Object::clone(object);
                print(
                    &plan,
                    found,
                    &name,
                    &InVmlinux::new(&object, &linked),
                    output,
                )
            }
            None => print(&plan, found, &name, &InModule(object), output),
        }
    }
}

/// `name=` of `.modinfo`, else the name of the file.
fn object_name(path: &Path, object: &Object<'_>) -> String {
    let modinfo = object.section_named(".modinfo");
    let bytes = modinfo.map(|(_, section)| section.data).unwrap_or_default();
    let said = bytes
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(b"name="));
    match said {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        None => {
            let stem = path.file_stem().unwrap_or_default();
            stem.to_string_lossy().replace('-', "_")
        }
    }
}

fn print(
    plan: &Plan<'_>,
    found: &Comparison<'_, '_>,
    patched: &str,
    positions: &impl SymbolPositions,
    output: &mut dyn Write,
) -> Result<()> {
    let name = |id: SymbolId| {
        let symbol = found.after.object().symbol(id);
        symbol.map_or("", |symbol| symbol.name)
    };
    for (id, reach) in &plan.symbols {
        match reach {
            Reach::Copied => writeln!(output, "copies {}", name(*id))?,
            Reach::Exported => writeln!(output, "uses the export {}", name(*id))?,
            Reach::InModule { module } => {
                let symbol = KlpSymbol::new(module, name(*id), 0)?;
                writeln!(output, "looks up {symbol}")?;
            }
            Reach::InPatchedObject { before } => {
                let old = found.before.object().symbol(*before);
                let old = old.map_or("", |symbol| symbol.name);
                match positions.position(*before) {
                    Some(position) => {
                        writeln!(
                            output,
                            "looks up {}",
                            KlpSymbol::new(patched, old, position)?
                        )?;
                    }
                    None => writeln!(
                        output,
                        "cannot look up {old} of {patched}: which of several it is cannot be told{}",
                        if patched == "vmlinux" {
                            "; give --vmlinux"
                        } else {
                            ""
                        }
                    )?,
                }
            }
            Reach::Unknown => writeln!(output, "UNKNOWN {}: nobody exports it", name(*id))?,
        }
    }
    for (section, start, _) in &plan.entries {
        let section = found.after.object().section(*section);
        let section = section.map_or("", |section| section.name);
        writeln!(output, "copies the entry {section}+{start:#x}")?;
    }
    for section in &plan.unnamed {
        let section = found.after.object().section(*section);
        let section = section.map_or("", |section| section.name);
        writeln!(output, "copies from {section}")?;
    }
    Ok(())
}
