//! `klp verify`: whether a livepatch module fits a kernel.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use kernel_symbols::klp::Severity;
use livepatch::Verification;
use serde_json::json;

use crate::diff::REFUSED;

/// Tells whether a livepatch module fits a kernel and its modules, before it is loaded
///
/// Checked are livepatch symbols and relocations with the positions that the kernel counts, the functions to replace and
/// whether the tracer reaches them, exports and namespaces, version strings, licence and dependencies. The exit code is 0
/// when nothing is wrong, 3 when the kernel would refuse the module or do something else than is meant, and 1 when that
/// could not be found out.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The livepatch module
    module: PathBuf,

    /// The kernel it is for
    #[arg(long, value_name = "FILE")]
    vmlinux: PathBuf,

    /// A module that it patches or depends on; may be repeated
    #[arg(long = "module", value_name = "FILE")]
    modules: Vec<PathBuf>,

    /// Also check that vmlinux and modules are those that run here, by their build ids
    #[arg(long)]
    running: bool,

    /// Where the kernel tells what runs
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/sys",
        requires = "running"
    )]
    sys: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let verification = Verification {
            patch: self.module.clone(),
            vmlinux: self.vmlinux.clone(),
            modules: self.modules.clone(),
            running: self.running.then(|| self.sys.clone()),
        };
        let mut problems = verification.run()?;
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity()));
        let count = |severity| {
            let same = problems.iter().filter(|it| it.severity() == severity);
            same.count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if self.json {
            let findings = problems.iter().map(|problem| {
                json!({
                    "severity": problem.severity().to_string(),
                    "message": problem.to_string(),
                })
            });
            let value = json!({
                "errors": errors,
                "warnings": warnings,
                "findings": findings.collect::<Vec<_>>(),
            });
            writeln!(output, "{value:#}")?;
        } else {
            for problem in &problems {
                writeln!(output, "{}: {problem}", problem.severity())?;
            }
            writeln!(output, "{errors} errors, {warnings} warnings")?;
        }
        Ok(if errors == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(REFUSED)
        })
    }
}
