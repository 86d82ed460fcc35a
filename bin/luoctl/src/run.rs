//! One function a subcommand.

use std::path::Path;
use std::process::ExitCode;

use ::update::Report;
use luod_api::Code;
use luod_api::manager::{self, HistoryAnswer, Nothing, ReportAnswer, Sessions, Status, method};
use serde::Serialize;

use crate::cli::{Cli, Command};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Layout};
use crate::{
    boot, check, compose, events, fs, initrd, inspect, manual, mount, pstore, show, update,
};

/// Exit code of a report that names a required loss.
const LOSS: u8 = 11;
/// Whose schemas are printed.
const PROGRAM: &str = "luoctl";

pub(crate) fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Status => status(cli),
        Command::Sessions => sessions(cli),
        Command::Check(args) => check::check(cli, args),
        Command::Update(args) => update::update(cli, args),
        Command::Cancel { reason } => {
            let cancel = manager::Cancel {
                reason: reason.clone(),
            };
            command(
                cli,
                method::CANCEL,
                &cancel,
                "cancelled; services go on as before",
            )
        }
        Command::Finish { service, discard } => {
            let finish = manager::Finish {
                service: service.clone(),
                discard: *discard,
            };
            command(cli, method::FINISH, &finish, "finished")
        }
        Command::Report { html } => report(cli, html.as_deref()),
        Command::History { limit } => history(cli, *limit),
        Command::Events { follow } => events::events(cli, *follow),
        Command::Metrics => metrics(cli),
        Command::Inspect(args) => inspect::inspect(cli, args),
        Command::Compose(args) => compose::compose(cli, args),
        Command::Boot(args) => boot::boot(cli, args),
        Command::Initrd(command) => initrd::initrd(cli, command),
        Command::Mount(command) => mount::mount(cli, command),
        Command::Fs(command) => fs::fs(cli, command),
        Command::Pstore(command) => pstore::pstore(cli, command),
        Command::Schema { name } => schema(name.as_deref()),
        Command::Completions { shell } => {
            output::text(&manual::completions(*shell)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            manual::write(folder)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn status(cli: &Cli) -> Result<ExitCode, Failure> {
    let status: Status = Connection::open(cli)?.call(method::STATUS, &Nothing {})?;
    print(cli, &status, || show::status(&status));
    Ok(ExitCode::SUCCESS)
}

fn sessions(cli: &Cli) -> Result<ExitCode, Failure> {
    let sessions: Sessions = Connection::open(cli)?.call(method::SESSIONS, &Nothing {})?;
    print(cli, &sessions, || show::sessions(&sessions));
    Ok(ExitCode::SUCCESS)
}

fn last_report(cli: &Cli) -> Result<Report, Failure> {
    let answer: ReportAnswer = Connection::open(cli)?.call(method::REPORT, &Nothing {})?;
    let none = || {
        let text = "there has been no update since the cold boot";
        Failure::new(Code::NotFound, text)
    };
    answer.report.ok_or_else(none)
}

fn history(cli: &Cli, limit: u32) -> Result<ExitCode, Failure> {
    let request = manager::History { limit };
    let answer: HistoryAnswer = Connection::open(cli)?.call(method::HISTORY, &request)?;
    print(cli, &answer, || {
        let updates = show::history(&answer.updates);
        format!("{updates}\nboots:\n{}", show::boots(&answer.boots))
    });
    Ok(ExitCode::SUCCESS)
}

fn metrics(cli: &Cli) -> Result<ExitCode, Failure> {
    let metrics = report_view::to_metrics(&last_report(cli)?);
    print(cli, &serde_json::json!({ "metrics": metrics }), || {
        metrics.clone()
    });
    Ok(ExitCode::SUCCESS)
}

fn report(cli: &Cli, html: Option<&Path>) -> Result<ExitCode, Failure> {
    let report = last_report(cli)?;
    if let Some(path) = html {
        let written = std::fs::write(path, report_view::to_html(&report));
        written.map_err(|error| inspect::cannot_write(path, &error))?;
    }
    if cli.json || html.is_none() {
        print(cli, &report, || show::report(&report));
    }
    Ok(if report.has_required_loss() {
        ExitCode::from(LOSS)
    } else {
        ExitCode::SUCCESS
    })
}

fn schema(name: Option<&str>) -> Result<ExitCode, Failure> {
    let Some(name) = name else {
        json_schemas::of(PROGRAM).for_each(|schema| output::text(schema.name));
        return Ok(ExitCode::SUCCESS);
    };
    let schema = json_schemas::find(PROGRAM, name).ok_or_else(|| {
        Failure::new(Code::NotFound, format!("there is no schema {name:?}"))
            .with_hint("`luoctl schema` lists them")
    })?;
    output::text(schema.text);
    Ok(ExitCode::SUCCESS)
}

fn command(
    cli: &Cli,
    method: &str,
    parameters: &impl Serialize,
    done: &str,
) -> Result<ExitCode, Failure> {
    let _done: luod_api::service::Done = Connection::open(cli)?.call(method, parameters)?;
    print(cli, &serde_json::json!({ "done": true }), || {
        done.to_owned()
    });
    Ok(ExitCode::SUCCESS)
}

fn print(cli: &Cli, value: &impl Serialize, text: impl FnOnce() -> String) {
    if cli.json {
        output::json(value, Layout::Indented);
    } else {
        output::text(&text());
    }
}
