//! `klp schema`: what `--json` prints.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

/// Prints the JSON Schema of what a command prints with --json
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// The command
    #[arg(value_name = "NAME", default_value = "verify")]
    name: String,
}

impl Schema {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let schema = json_schemas::find("klp", &self.name);
        let schema = schema.ok_or_else(|| anyhow!("find a schema {:?}", self.name))?;
        output.write_all(schema.text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
