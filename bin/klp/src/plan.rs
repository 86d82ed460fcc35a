//! The second half of `klp diff`: what a module of the change takes along and what it needs of the kernel, and the object
//! for that module.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use elf_index::{SectionId, SymbolId};
use klp_abi::{KlpSymbol, VMLINUX};
use klp_diff::{Exports, LinkedPositions, Plan, Reach};
use klp_module::{Change, extract};
use livepatch::{Comparison, Input, LinkedFile, object_name, words, write_whole};

use crate::diff::Verdict;

/// What a plan needs besides the two objects.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanOptions {
    /// Also tell what a module takes along and what it refers to; FILE is the kernel's Module.symvers
    #[arg(long, value_name = "FILE")]
    pub(crate) symvers: Option<PathBuf>,

    /// The kernel (vmlinux) or module (.ko) linked from ORIG, whose symbols decide positions [default for a module: ORIG]
    #[arg(
        long,
        value_name = "FILE",
        requires = "symvers",
        visible_alias = "vmlinux"
    )]
    pub(crate) linked: Option<PathBuf>,

    /// The patched module, or vmlinux [default: what ORIG says, else its file name]
    #[arg(long, value_name = "NAME", requires = "symvers")]
    pub(crate) object: Option<String>,

    /// Write the object of the change, from which the kernel's build makes a module; nothing is written when something is
    /// refused or nothing changed
    #[arg(short, long, value_name = "OUT", requires = "symvers")]
    pub(crate) output: Option<PathBuf>,
}

/// Where a plan is told.
pub(crate) struct Told<'w> {
    /// What goes along, and what is referred to.
    pub(crate) plan: &'w mut dyn Write,
    /// What cannot be livepatched.
    pub(crate) refusals: &'w mut dyn Write,
}

/// A comparison with what its module would be made of.
struct Planned<'a, 'o, 'd> {
    found: &'a Comparison<'o, 'd>,
    plan: &'a Plan<'a>,
    exports: &'a Exports<'a>,
    patched: &'a str,
}

impl PlanOptions {
    /// Tells the plan to one who also gets the refusals.
    pub(crate) fn run(
        &self,
        orig: &Input,
        found: &Comparison<'_, '_>,
        output: &mut dyn Write,
    ) -> Result<Verdict> {
        let mut plan = Vec::new();
        let mut refusals = Vec::new();
        let mut told = Told {
            plan: &mut plan,
            refusals: &mut refusals,
        };
        let verdict = self.write(orig, found, &mut told);
        output.write_all(&plan)?;
        output.write_all(&refusals)?;
        verdict
    }

    /// Tells the plan, if it is asked for, and writes the object.
    pub(crate) fn write(
        &self,
        orig: &Input,
        found: &Comparison<'_, '_>,
        told: &mut Told<'_>,
    ) -> Result<Verdict> {
        let Some(symvers) = &self.symvers else {
            return Ok(Verdict::Possible);
        };
        let name = match &self.object {
            Some(name) => name.clone(),
            None => object_name(orig.path(), found.before.object()),
        };
        let text =
            fs::read_to_string(symvers).with_context(|| format!("read {}", symvers.display()))?;
        let exports = Exports::parse(&text, &name)
            .with_context(|| format!("understand {}", symvers.display()))?;
        let plan = found.plan(&exports);
        let planned = Planned {
            found,
            plan: &plan,
            exports: &exports,
            patched: &name,
        };
        let own;
        let linked = match &self.linked {
            Some(path) => {
                own = Input::open(path)?;
                Some(&own)
            }
            // A module's object has its symbols in the order that counts; the kernel's has not.
            None => (name != VMLINUX).then_some(orig),
        };
        let linked = linked.map(|input| LinkedFile::new(input, &name));
        let linked = linked.transpose()?;
        let positions = linked
            .as_ref()
            .map(|it| it.positions(found.before.object()));
        planned.print(positions.as_ref(), told.plan)?;
        planned.obstacles(told.refusals)?;
        if !plan.obstacles.is_empty() {
            return Ok(Verdict::Refused);
        }
        match (&self.output, &positions) {
            (Some(path), Some(positions)) => planned.write(positions, path, told.refusals),
            (Some(_), None) => {
                anyhow::bail!(
                    "tell the positions of symbols of vmlinux: name the linked kernel with --linked"
                )
            }
            (None, _) => Ok(Verdict::Possible),
        }
    }
}

impl Planned<'_, '_, '_> {
    fn write(
        &self,
        positions: &LinkedPositions<'_, '_, '_>,
        path: &Path,
        output: &mut dyn Write,
    ) -> Result<Verdict> {
        let difference = &self.found.difference;
        if !difference.refusals.is_empty() || difference.changed.is_empty() {
            return Ok(Verdict::Possible);
        }
        let change = Change {
            before: self.found.before.object(),
            after: self.found.after.object(),
            difference,
            plan: self.plan,
            exports: self.exports,
            positions,
            patched: self.patched,
        };
        match extract(change) {
            Ok(bytes) => {
                write_whole(path, &bytes)?;
                Ok(Verdict::Possible)
            }
            Err(error) => {
                writeln!(output, "REFUSED: failed to {error}")?;
                Ok(Verdict::Refused)
            }
        }
    }

    fn name(&self, id: SymbolId) -> &str {
        let symbol = self.found.after.object().symbol(id);
        symbol.map_or("", |symbol| symbol.name)
    }

    fn section(&self, id: SectionId) -> &str {
        let section = self.found.after.object().section(id);
        section.map_or("", |section| section.name)
    }

    fn print(
        &self,
        positions: Option<&LinkedPositions<'_, '_, '_>>,
        output: &mut dyn Write,
    ) -> Result<()> {
        for (id, reach) in &self.plan.symbols {
            let name = self.name(*id);
            match reach {
                Reach::Copied => writeln!(output, "copies {name}")?,
                Reach::Exported => writeln!(output, "uses the export {name}")?,
                Reach::InModule { module } => {
                    writeln!(output, "looks up {}", KlpSymbol::new(module, name, 0)?)?;
                }
                Reach::InPatchedObject { before } => {
                    let old = self.found.before.object().symbol(*before);
                    let old = old.map_or("", |symbol| symbol.name);
                    let position = positions.map(|positions| positions.position(*before));
                    self.look_up(old, position, output)?;
                }
                Reach::Unknown => match positions.filter(|positions| positions.has(name)) {
                    Some(positions) => {
                        let position = Some(positions.position_of_global(name));
                        self.look_up(name, position, output)?;
                    }
                    None => writeln!(output, "UNKNOWN {name}: nobody exports it")?,
                },
            }
        }
        for entry in &self.plan.entries {
            let section = self.section(entry.section);
            writeln!(output, "copies the entry {section}+{:#x}", entry.start)?;
        }
        let mut unnamed: Vec<SectionId> = self
            .plan
            .pieces
            .iter()
            .filter(|piece| {
                let object = self.found.after.object();
                object
                    .symbol_containing(piece.section, piece.start)
                    .is_none()
            })
            .map(|piece| piece.section)
            .collect();
        unnamed.dedup();
        for section in unnamed {
            writeln!(output, "copies from {}", self.section(section))?;
        }
        Ok(())
    }

    fn look_up(
        &self,
        name: &str,
        position: Option<Result<u64, klp_diff::Ambiguous>>,
        output: &mut dyn Write,
    ) -> Result<()> {
        match position {
            Some(Ok(position)) => {
                let symbol = KlpSymbol::new(self.patched, name, position)?;
                writeln!(output, "looks up {symbol}")?;
            }
            Some(Err(error)) => {
                writeln!(output, "cannot look up {name} of {}: {error}", self.patched)?;
            }
            None => writeln!(
                output,
                "cannot look up {name} of {}: positions are not known; give --linked",
                self.patched
            )?,
        }
        Ok(())
    }

    fn obstacles(&self, output: &mut dyn Write) -> io::Result<()> {
        for obstacle in &self.plan.obstacles {
            let text = words::obstacle(*obstacle, self.found.after.object());
            writeln!(output, "REFUSED {text}")?;
        }
        Ok(())
    }
}
