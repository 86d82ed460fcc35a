//! `luo-emu`: a live update machine for unmodified programs.

use std::io;
use std::process::ExitCode;

use anyhow::Error;
use clap::Parser as _;

mod cli;
mod exit;
mod output;

fn main() -> ExitCode {
    let cli::Command::Run(run) = cli::Cli::parse().command;
    let watch = output::Messages::new(run.quiet);
    match emulator::run(&run.options(), &watch) {
        Ok(end) => exit::of(&end),
        Err(error) => {
            let code = exit::of_error(&error);
            output::error(&Error::new(error), &mut io::stderr());
            code
        }
    }
}
