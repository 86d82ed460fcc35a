//! `luoctl compose`: makes a handover of a plan.

use std::path::Path;
use std::process::ExitCode;

use handover_compose::{ComposeError, Composition, Plan};
use luod_api::Code;
use serde_json::json;

use crate::boot::DOES_NOT_FIT;
use crate::cli::{Cli, ComposeArgs};
use crate::failure::{Failure, chain};
use crate::output::{self, Layout};

pub(crate) fn compose(cli: &Cli, args: &ComposeArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::read(&args.plan).map_err(|error| {
        let message = format!("{}: {}", args.plan.display(), chain(&error));
        Failure::new(Code::InvalidParameter, message)
            .with_hint("the book has a page on plans: \"Composing a handover\"")
    })?;
    let base = args.plan.parent().unwrap_or(Path::new(""));
    let composition = handover_compose::compose(&plan, base).map_err(|error| refused(&error))?;
    let saved = composition.save(&args.output);
    saved.map_err(|error| Failure::new(Code::Internal, chain(&error)))?;
    report(cli, args, &plan, &composition);
    Ok(ExitCode::SUCCESS)
}

fn refused(error: &ComposeError) -> Failure {
    if error.is_want_of_memory() {
        return Failure {
            exit_code: DOES_NOT_FIT,
            kind: "DoesNotFit",
            message: chain(error),
            hint: "the machine of the plan has too little memory outside of scratch: \
                   see [machine] in the plan"
                .to_owned(),
        };
    }
    Failure::new(Code::InvalidParameter, chain(error))
}

fn report(cli: &Cli, args: &ComposeArgs, plan: &Plan, composition: &Composition) {
    let sessions = plan.sessions.len();
    let files = plan.sessions.iter().map(|session| session.files.len());
    let files: usize = files.sum();
    let memory_bytes = composition.map().ram_bytes();
    let fdt = format!("{:#x}", composition.fdt().0);
    if cli.json {
        let value = json!({
            "folder": args.output, "fdt": fdt, "sessions": sessions, "files": files,
            "memory_bytes": memory_bytes,
        });
        output::json(&value, Layout::Indented);
    } else {
        output::text(&format!(
            "{sessions} sessions with {files} files, for a machine with {} MiB of memory: {}",
            memory_bytes >> 20,
            args.output.display()
        ));
    }
}
