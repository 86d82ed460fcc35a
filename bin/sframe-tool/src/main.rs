//! `sframe`: looks into SFrame stack trace data and writes it anew.

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod coverage;
mod failure;
mod input;
mod lookup;
mod output;
mod run;
mod verify;
mod write;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run::run(&cli) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
