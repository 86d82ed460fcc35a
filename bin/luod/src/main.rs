//! `luod`: the live update agent.
//!
//! `luod` serves; `luod hold` is the process that outlives it (started by `luod` itself), `luod shutdown-hook` what
//! systemd runs when everything else has ended.

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod manual;
mod serve;
mod shutdown_hook;
mod supervised;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    serve::log(&cli.log);
    let answer = match &cli.command {
        Some(cli::Command::Hold { socket }) => serve::hold(socket),
        Some(cli::Command::Man { folder }) => manual::write(folder),
        Some(cli::Command::ShutdownHook { action }) => shutdown_hook::run(&cli.runtime_dir, action),
        None => serve::serve(&cli),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
