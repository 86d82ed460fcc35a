//! `luoctl`: drives live updates.

use std::process::ExitCode;

use clap::Parser as _;

mod boot;
mod check;
mod cli;
mod compose;
mod connection;
mod events;
mod failure;
mod fs;
mod initrd;
mod inspect;
mod manual;
mod mount;
mod next_kernel;
mod output;
mod progress;
mod pstore;
mod run;
mod show;
mod update;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run::run(&cli) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&cli, &failure);
            ExitCode::from(failure.exit_code)
        }
    }
}
