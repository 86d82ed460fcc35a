//! `luoctl pstore`: logs that outlive their kernel.

mod archive;
mod check;
mod region;
mod setup;
mod show;

use std::process::ExitCode;

use pstore_archive::Error;

use crate::cli::{Cli, PstoreCommand};
use crate::failure::{Failure, chain};
use crate::inspect::UNREADABLE;

/// Exit code when there is no log of the kind that was asked for.
const NO_LOG: u8 = 24;

pub(crate) fn pstore(cli: &Cli, command: &PstoreCommand) -> Result<ExitCode, Failure> {
    match command {
        PstoreCommand::Setup(args) => setup::setup(cli, args),
        PstoreCommand::Check(args) => check::check(cli, args),
        PstoreCommand::Collect(args) => archive::collect(cli, args),
        PstoreCommand::List(args) => archive::list(cli, args),
        PstoreCommand::Show(args) => show::show(cli, args),
        PstoreCommand::Export(args) => show::export(cli, args),
        PstoreCommand::Region(args) => region::region(cli, args),
    }
}

fn failure(error: &Error) -> Failure {
    let (exit_code, hint) = match error {
        Error::NoBoot { .. } => (NO_LOG, "`luoctl pstore list` shows the boots"),
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            (4, "run luoctl as root")
        }
        _ => (UNREADABLE, ""),
    };
    Failure {
        exit_code,
        kind: "Pstore",
        message: chain(error),
        hint: hint.to_owned(),
    }
}

fn no_log(message: String) -> Failure {
    Failure {
        exit_code: NO_LOG,
        kind: "NoLog",
        message,
        hint: "`luoctl pstore list` shows what there is".to_owned(),
    }
}
