//! `klp explain`: why a function counts as changed.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use elf_index::{Object, SymbolId};
use klp_checksum::{Program, Reason, Rule, Step, Subject, Transcript};
use livepatch::Input;

/// Exit code when the function differs.
const DIFFERS: u8 = 2;

/// Bytes that are shown of each side.
const SHOWN: usize = 48;

/// Tells why a function or an object counts as changed, or that it does not
///
/// The exit code is 0 when nothing changed, 2 when something did, and 1 when that could not be found out.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The object before the change
    orig: PathBuf,

    /// The object after it
    patched: PathBuf,

    /// Name of the function or object
    name: String,

    /// Which source file it is in, where the name is not unique
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
}

impl Explain {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let inputs = [Input::open(&self.orig)?, Input::open(&self.patched)?];
        let [one, two] = &inputs;
        let objects = [one.object()?, two.object()?];
        let [one, two] = &objects;
        let programs = [
            Program::new(one).with_context(|| format!("understand {}", self.orig.display()))?,
            Program::new(two).with_context(|| format!("understand {}", self.patched.display()))?,
        ];
        let [one, two] = &programs;
        let sides = [Side::new(self, one)?, Side::new(self, two)?];
        let [one, two] = &sides;
        if one.transcript.checksum() == two.transcript.checksum() {
            writeln!(output, "{}: unchanged", self.name)?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(output, "{}: changed", self.name)?;
        difference(one, two, output)?;
        if compat(one, two)? {
            writeln!(
                output,
                "  objtool's checksum is the same: it would not notice"
            )?;
        }
        Ok(ExitCode::from(DIFFERS))
    }

    /// The one thing that is meant.
    fn subject(&self, program: &Program<'_, '_>) -> Result<Subject> {
        let object = program.object();
        let mut found = Vec::new();
        let mut file = "";
        let mut subjects = program.subjects().iter().peekable();
        for (id, symbol) in object.symbols_with_ids() {
            if symbol.is_file() {
                file = symbol.name;
            }
            let Some(subject) = subjects.next_if(|subject| subject.symbol == id) else {
                continue;
            };
            if symbol.name == self.name {
                found.push((*subject, if symbol.is_local() { file } else { "" }));
            }
        }
        if let Some(wanted) = &self.file {
            found.retain(|(_, file)| file == wanted);
        }
        match found.as_slice() {
            [(subject, _)] => Ok(*subject),
            [] => bail!(
                "find {}: no function or object of that name has a checksum",
                self.name
            ),
            several => {
                let files: Vec<&str> = several.iter().map(|(_, file)| *file).collect();
                bail!(
                    "choose one {}: there are {}, in {}; say which with --file",
                    self.name,
                    several.len(),
                    files.join(", ")
                )
            }
        }
    }
}

/// One of the two objects.
struct Side<'p, 'o, 'd> {
    program: &'p Program<'o, 'd>,
    subject: Subject,
    transcript: Transcript,
}

impl<'p, 'o, 'd> Side<'p, 'o, 'd> {
    fn new(explain: &Explain, program: &'p Program<'o, 'd>) -> Result<Self> {
        let subject = explain.subject(program)?;
        let mut transcript = Transcript::with_steps();
        program.transcribe(subject, Rule::Content, &mut transcript)?;
        Ok(Self {
            program,
            subject,
            transcript,
        })
    }

    fn checksum(&self, rule: Rule) -> Result<u64> {
        let mut transcript = Transcript::new();
        self.program
            .transcribe(self.subject, rule, &mut transcript)?;
        Ok(transcript.checksum())
    }
}

fn compat(one: &Side<'_, '_, '_>, two: &Side<'_, '_, '_>) -> Result<bool> {
    Ok(one.checksum(Rule::Objtool)? == two.checksum(Rule::Objtool)?)
}

/// Prints the first step that differs.
fn difference(
    one: &Side<'_, '_, '_>,
    two: &Side<'_, '_, '_>,
    output: &mut dyn Write,
) -> Result<()> {
    let mut steps = [
        one.transcript.steps_with_bytes(),
        two.transcript.steps_with_bytes(),
    ];
    loop {
        let [first, second] = steps.each_mut().map(Iterator::next);
        match (first, second) {
            (None, None) => return Ok(()),
            (Some((step, bytes)), None) => {
                let place = place(one.program.object(), step);
                writeln!(
                    output,
                    "  only before: {place}: {}",
                    text(step.reason, bytes)
                )?;
                return Ok(());
            }
            (None, Some((step, bytes))) => {
                let place = place(two.program.object(), step);
                writeln!(
                    output,
                    "  only after: {place}: {}",
                    text(step.reason, bytes)
                )?;
                return Ok(());
            }
            (Some((step, bytes)), Some((other, others))) => {
                if step.reason == other.reason && bytes == others {
                    continue;
                }
                let of = [(one, step, bytes), (two, other, others)];
                for ((side, step, bytes), when) in of.iter().zip(["before", "after "]) {
                    let place = place(side.program.object(), step);
                    writeln!(output, "  {when} {place}: {}", text(step.reason, bytes))?;
                }
                return Ok(());
            }
        }
    }
}

/// A place by the symbol that contains it, else by its section.
fn place(object: &Object<'_>, step: &Step) -> String {
    let found = object.symbol_containing(step.section, step.offset);
    let found: Option<&_> = found.and_then(|id: SymbolId| object.symbol(id));
    match found {
        Some(symbol) => format!(
            "{}+{:#x}",
            symbol.name,
            step.offset.wrapping_sub(symbol.value)
        ),
        None => {
            let section = object.section(step.section);
            format!(
                "{}+{:#x}",
                section.map_or("", |section| section.name),
                step.offset
            )
        }
    }
}

fn text(reason: Reason, bytes: &[u8]) -> String {
    // A tag and a length stand before what has no fixed size.
    let framed = |skipped: usize| bytes.get(skipped..).unwrap_or(bytes);
    let mut text = String::from(crate::checksum::reason(reason));
    text.push(' ');
    match reason {
        Reason::String | Reason::TargetName => {
            let bytes = framed(9);
            text.push_str(&String::from_utf8_lossy(bytes).escape_debug().to_string());
        }
        Reason::TargetOffset => match bytes.last_chunk::<8>() {
            Some(number) => {
                let _written = write!(text, "{:#x}", i64::from_le_bytes(*number));
            }
            None => hex(&mut text, bytes),
        },
        Reason::Instruction | Reason::Data | Reason::Unnamed | Reason::SpecialEntry => {
            hex(&mut text, framed(8));
        }
        _ => hex(&mut text, bytes),
    }
    text
}

fn hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes.iter().take(SHOWN) {
        let _written = write!(text, "{byte:02x} ");
    }
    if bytes.len() > SHOWN {
        let _written = write!(text, "and {} bytes more", bytes.len() - SHOWN);
    }
}
