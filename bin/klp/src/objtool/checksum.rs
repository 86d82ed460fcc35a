//! `objtool klp checksum`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use elf_index::{Object, SymbolId};
use klp_abi::records::SYM_CHECKSUM_SECTION;
use klp_checksum::{Program, Reason, Rule, Step, Transcript};
use klp_module::with_checksums;
use livepatch::{Input, checksums, write_whole};

/// Writes the checksums of an object into its section `.discard.sym_checksum`, in place
#[derive(Debug, clap::Args)]
pub(crate) struct Checksum {
    /// The object
    file: PathBuf,

    /// Print the steps of the checksums of these functions and objects to the standard error
    #[arg(long, value_name = "SYMS", value_delimiter = ',')]
    debug_checksum: Vec<String>,

    /// Write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Checksum {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let path = self.file.display();
        let changed = {
            let input = Input::open(&self.file)?;
            let object = input.object()?;
            let understand = || format!("understand {path}");
            let program = Program::new(&object).with_context(understand)?;
            self.steps(&program)?;
            let found = checksums(&program, Rule::Objtool).with_context(understand)?;
            if self.dry_run {
                return Ok(ExitCode::SUCCESS);
            }
            let found = found.into_iter().map(|it| (it.symbol, it.checksum));
            with_checksums(input.bytes(), found).with_context(|| format!("change {path}"))?
        };
        match changed {
            Some(bytes) => write_whole(&self.file, &bytes)?,
            None => writeln!(
                io::stderr(),
                "{path}: warning: it has a section {SYM_CHECKSUM_SECTION} already, and stays as it is"
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn steps(&self, program: &Program<'_, '_>) -> Result<()> {
        let object = program.object();
        let mut transcript = Transcript::with_steps();
        let mut told = io::BufWriter::new(io::stderr().lock());
        for wanted in &self.debug_checksum {
            let is_wanted = |id: SymbolId| object.symbol(id).is_some_and(|it| it.name == wanted);
            let is_there = object
                .symbols_with_ids()
                .any(|(id, symbol)| is_wanted(id) && (symbol.is_func() || symbol.is_object()));
            if !is_there {
                let path = self.file.display();
                writeln!(
                    told,
                    "{path}: warning: --debug-checksum: there is no {wanted}"
                )?;
            }
        }
        for subject in program.subjects() {
            let Some(symbol) = object.symbol(subject.symbol) else {
                continue;
            };
            if !self.debug_checksum.iter().any(|name| name == symbol.name) {
                continue;
            }
            program.transcribe(*subject, Rule::Objtool, &mut transcript)?;
            for step in transcript.steps() {
                let path = self.file.display();
                let sum = transcript.checksum_after(step);
                let name = symbol.name;
                if symbol.is_func() {
                    let place = place(object, step);
                    writeln!(
                        told,
                        "DEBUG: {path}: checksum: {name}(): {place} {sum:016x}"
                    )?;
                } else {
                    let inside = step.offset.wrapping_sub(symbol.value);
                    let what = what(step.reason);
                    writeln!(
                        told,
                        "DEBUG: {path}: checksum: {name}+{inside:#x}: {what} {sum:016x}"
                    )?;
                }
            }
        }
        Ok(told.flush()?)
    }
}

/// A place in code by the function it is in, else by its section.
fn place(object: &Object<'_>, step: &Step) -> String {
    let found = object.symbol_containing(step.section, step.offset);
    let (name, start) = match found.and_then(|id| object.symbol(id)) {
        Some(found) => (found.name, found.value),
        None => {
            let section = object.section(step.section);
            (section.map_or("", |section| section.name), 0)
        }
    };
    format!("{name}+{:#x}", step.offset.wrapping_sub(start))
}

/// What objtool calls a step of an object.
fn what(reason: Reason) -> &'static str {
    match reason {
        Reason::Length => "len",
        Reason::Data => "data",
        Reason::TargetName => "reloc name",
        Reason::TargetOffset => "reloc addend",
        Reason::String => "reloc string",
        _ => "reloc",
    }
}
