//! `luoctl fs`: mounted file systems.

use std::fs::File;
use std::process::ExitCode;

use ext4_tune::{Difference, Error, Setting, read, tune};
use rustix::io::Errno;
use serde_json::{Map, Value, json};

use crate::cli::{Cli, FsCommand, TuneArgs};
use crate::failure::{Failure, chain};
use crate::inspect::UNREADABLE;
use crate::output::{self, Layout};

/// Width of the longest name of a parameter.
const NAME_WIDTH: usize = 17;

pub(crate) fn fs(cli: &Cli, command: &FsCommand) -> Result<ExitCode, Failure> {
    let FsCommand::Tune(args) = command;
    let file = File::open(&args.path).map_err(|error| Failure {
        exit_code: UNREADABLE,
        kind: "Unreadable",
        message: format!("cannot open {}: {error}", args.path.display()),
        hint: String::new(),
    })?;
    if args.settings.is_empty() {
        show(cli, &file)?;
    } else {
        change(cli, args, &file)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(cli: &Cli, file: &File) -> Result<(), Failure> {
    let parameters = read(file).map_err(|error| failure(&error))?;
    if cli.json {
        let entries = parameters.into_iter();
        let entries = entries.map(|(name, value)| (name.to_owned(), Value::String(value)));
        let map: Map<String, Value> = entries.collect();
        output::json(&map, Layout::Indented);
        return Ok(());
    }
    for (name, value) in parameters {
        output::text(&format!("{name:NAME_WIDTH$}  {value}"));
    }
    Ok(())
}

fn change(cli: &Cli, args: &TuneArgs, file: &File) -> Result<(), Failure> {
    let settings = args.settings.iter().map(|text| Setting::parse(text));
    let settings: Result<Vec<_>, _> = settings.collect();
    let changed = settings.and_then(|settings| tune(file, &settings));
    let changed = changed.map_err(|error| failure(&error))?;
    if cli.json {
        output::json(&json!({ "changed": changed }), Layout::Indented);
    } else if changed.is_empty() {
        output::text("everything was so already");
    } else {
        for Difference {
            name,
            before,
            after,
        } in changed
        {
            output::text(&format!("{name:NAME_WIDTH$}  {before} -> {after}"));
        }
    }
    Ok(())
}

fn failure(error: &Error) -> Failure {
    let (exit_code, hint) = match error {
        Error::Set { errno: Errno::PERM } => (4, "run luoctl as root; nothing was changed"),
        Error::Get { .. } | Error::Set { .. } => (16, "nothing was changed"),
        _ => (2, "nothing was changed"),
    };
    Failure {
        exit_code,
        kind: "Tune",
        message: format!("failed to {}", chain(error)),
        hint: hint.to_owned(),
    }
}
