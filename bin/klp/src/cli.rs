//! The command line.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::{build, checksum, diff, explain, link, objtool, schema, show, verify};

/// Looks into objects of two kernel builds: what changed, and what of it can be livepatched
#[derive(Debug, clap::Parser)]
#[command(name = "klp", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Build(build::Build),
    Checksum(checksum::Checksum),
    Diff(diff::Diff),
    Explain(explain::Explain),
    Link(link::Link),
    Objtool(objtool::Objtool),
    Schema(schema::Schema),
    Show(show::Show),
    Verify(verify::Verify),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self, output: &mut dyn Write) -> Result<ExitCode> {
        let code = match self.command {
            Command::Build(build) => build.run(output)?,
            Command::Checksum(checksum) => checksum.run(output)?,
            Command::Diff(diff) => diff.run(output)?,
            Command::Explain(explain) => explain.run(output)?,
            Command::Link(link) => link.run(output)?,
            Command::Objtool(objtool) => objtool.run(output)?,
            Command::Schema(schema) => schema.run(output)?,
            Command::Show(show) => show.run(output)?,
            Command::Verify(verify) => verify.run(output)?,
        };
        output.flush()?;
        Ok(code)
    }
}
