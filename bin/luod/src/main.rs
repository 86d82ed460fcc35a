//! `luod`: the live update agent.
//!
//! `luod` serves; `luod hold` is the process that outlives it (started by `luod` itself); `luod run`
//! supervises a program that knows nothing of live updates.

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod run;
mod serve;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    serve::log(&cli.log);
    let answer = match &cli.command {
        Some(cli::Command::Hold { socket }) => serve::hold(socket).map(|()| ExitCode::SUCCESS),
        Some(cli::Command::Run(arguments)) => run::run(arguments),
        None => serve::serve(&cli).map(|()| ExitCode::SUCCESS),
    };
    match answer {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
