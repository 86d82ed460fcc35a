//! `ksyms`: kernel symbols.

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod failure;
mod klp_check;
mod lookup;
mod name;
mod output;
mod schema;
mod sort_check;
mod sources;
mod sympos;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let done = match &cli.command {
        cli::Command::Lookup(args) => lookup::run(&cli, args),
        cli::Command::Name(args) => name::run(&cli, args),
        cli::Command::Sympos(args) => sympos::run(&cli, args),
        cli::Command::KlpCheck(args) => klp_check::run(&cli, args),
        cli::Command::SortCheck(args) => sort_check::run(&cli, args),
        cli::Command::Schema { name } => schema::run(name.as_deref()),
    };
    match done {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(failure) => {
            output::failure(&cli, &failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
