//! `ksyms klp-check`.

use anyhow::Context as _;
use kernel_symbols::Module;
use kernel_symbols::klp::{Severity, Target, check, parse_rela_sections};
use serde_json::json;

use crate::cli::{Cli, KlpCheckArgs};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::sources::{self, Phases};

pub(crate) fn run(cli: &Cli, args: &KlpCheckArgs) -> Result<Outcome, Failure> {
    let bytes = symbol_files::read(&args.patch).map_err(anyhow::Error::new)?;
    let patch = Module::parse(&bytes).with_context(|| format!("use {}", args.patch.display()))?;
    let objects: Vec<Phases> = args
        .files
        .iter()
        .map(|path| sources::phases(path))
        .collect::<Result<_, _>>()?;
    let targets: Vec<Target<'_>> = objects
        .iter()
        .map(|object| Target {
            live: &object.live,
            loading: object.loading.as_ref(),
            traced: object.traced.as_ref(),
        })
        .collect();
    let findings = check(&patch, &targets);
    let relocations: usize = parse_rela_sections(&patch)
        .iter()
        .map(|it| it.relocations.len())
        .sum();
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity() == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let value = json!({
        "relocations": relocations,
        "errors": errors,
        "warnings": warnings,
        "findings": findings.iter().map(|finding| json!({
            "severity": finding.severity().to_string(),
            "message": finding.to_string(),
        })).collect::<Vec<_>>(),
    });
    let lines = findings
        .iter()
        .map(|finding| format!("{}: {finding}", finding.severity()));
    let total =
        format!("{relocations} livepatch relocations, {errors} errors, {warnings} warnings");
    output::print(cli, &value, lines.chain([total]));
    Ok(if errors == 0 {
        Outcome::Done
    } else {
        Outcome::BadPatch
    })
}
