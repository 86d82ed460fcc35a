//! `klp checksum`: what each function and object means, as a number.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use klp_checksum::{Program, Reason, Rule, Transcript};
use livepatch::{Input, checksums};

/// Prints a checksum of what each function and object means, independent of where it is
#[derive(Debug, clap::Args)]
pub(crate) struct Checksum {
    /// An object file or vmlinux.o
    file: PathBuf,

    /// Compute the values of `objtool klp checksum`, which leave unnamed data out
    #[arg(long)]
    compat: bool,

    /// Print every step of the checksums of these functions and objects instead
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    debug_checksum: Vec<String>,
}

impl Checksum {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let input = Input::open(&self.file)?;
        let object = input.object()?;
        let program = Program::new(&object).with_context(|| understand(&self.file))?;
        let rule = if self.compat {
            Rule::Objtool
        } else {
            Rule::Content
        };
        if !self.debug_checksum.is_empty() {
            self.steps(&program, rule, output)?;
            return Ok(ExitCode::SUCCESS);
        }
        let found = checksums(&program, rule).with_context(|| understand(&self.file))?;
        for checksum in found {
            let name = object
                .symbol(checksum.symbol)
                .map_or("", |symbol| symbol.name);
            writeln!(output, "{:016x} {name}", checksum.checksum)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn steps(&self, program: &Program<'_, '_>, rule: Rule, output: &mut dyn Write) -> Result<()> {
        let object = program.object();
        let mut transcript = Transcript::with_steps();
        for wanted in &self.debug_checksum {
            let mut is_there = false;
            for subject in program.subjects() {
                let symbol = object.symbol(subject.symbol);
                let Some(symbol) = symbol.filter(|symbol| symbol.name == wanted) else {
                    continue;
                };
                is_there = true;
                program.transcribe(*subject, rule, &mut transcript)?;
                for step in transcript.steps() {
                    let place = object
                        .symbol_containing(step.section, step.offset)
                        .and_then(|id| object.symbol(id));
                    let (name, start) = match place {
                        Some(place) => (place.name, place.value),
                        None => (
                            object
                                .section(step.section)
                                .map_or("", |section| section.name),
                            0,
                        ),
                    };
                    writeln!(
                        output,
                        "{}: {name}+{:#x} {} {:016x}",
                        symbol.name,
                        step.offset.wrapping_sub(start),
                        reason(step.reason),
                        transcript.checksum_after(step),
                    )?;
                }
            }
            if !is_there {
                bail!("find {wanted}: no function or object of that name has a checksum");
            }
        }
        Ok(())
    }
}

fn understand(file: &Path) -> String {
    format!("understand {}", file.display())
}

/// Words for a reason.
pub(crate) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Instruction => "instruction",
        Reason::TargetName => "target",
        Reason::TargetOffset => "offset in target",
        Reason::String => "string",
        Reason::Constant => "constant",
        Reason::AlternativeKind => "alternative",
        Reason::AlternativeFeature => "feature of alternative",
        Reason::Length => "length",
        Reason::Data => "data",
        Reason::Relocation => "relocation",
        Reason::UnnamedPlace => "place in unnamed data",
        Reason::Unnamed => "unnamed data",
        Reason::SpecialEntry => "special entry",
        _ => "other",
    }
}
