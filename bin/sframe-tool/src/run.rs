//! One function a subcommand.

use std::process::ExitCode;

use sframe_unwind::{Dump, Section};

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::input::{Input, Layout};
use crate::{coverage, lookup, output, verify, write};

pub(crate) fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Dump(input) => {
            let read = Input::read(input, Layout::AtZero)?;
            let section = Section::parse(&read.bytes, read.placement)?;
            if let Some(format) = &read.format {
                let path = input.file.display();
                output::line(&format!("\n{path}:     file format {format}\n"));
            }
            output::text(&Dump::new(&section, &input.section).to_string());
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(args) => verify::verify(args),
        Command::Convert(args) => write::convert(args),
        Command::Sort(args) => write::sort(&args.input, &args.output),
        Command::Coverage(args) => coverage::coverage(args),
        Command::Lookup(args) => lookup::lookup(args),
    }
}
