//! `klp link`: the last step of a livepatch module.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use livepatch::{Input, write_whole};

/// Makes livepatch relocations of the records in a linked module
///
/// The last step but signing: no linker, strip or objcopy may see the module afterwards.
#[derive(Debug, clap::Args)]
pub(crate) struct Link {
    /// The module, as the kernel's build left it
    pub(crate) module: PathBuf,

    /// Where the finished module goes [default: MODULE is replaced]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
}

impl Link {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let linked = {
            let input = Input::open(&self.module)?;
            klp_module::link(input.bytes())
                .with_context(|| format!("finish {}", self.module.display()))?
        };
        let path = self.output.as_ref().unwrap_or(&self.module);
        write_whole(path, &linked.bytes)?;
        writeln!(
            output,
            "{}: {} livepatch relocations of {} symbols",
            path.display(),
            linked.relocations,
            linked.symbols
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
