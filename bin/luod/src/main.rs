//! `luod`: the live update agent.
//!
//! `luod` serves; `luod hold` is the process that outlives it (started by `luod` itself); `luod run`
//! supervises a program that knows nothing of live updates; `luod shutdown-hook` is what systemd runs when
//! everything else has ended.

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod manual;
mod replace;
mod run;
mod serve;
mod shutdown_hook;
mod supervised;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    serve::log(&cli.log);
    let answer = match &cli.command {
        Some(cli::Command::Hold { socket }) => serve::hold(socket).map(done),
        Some(cli::Command::Run(arguments)) => run::run(arguments),
        Some(cli::Command::Launch { socket, program }) => {
            Err(fd_store::launch(socket, program).into())
        }
        Some(cli::Command::Man { folder }) => manual::write(folder).map(done),
        Some(cli::Command::ShutdownHook { action }) => {
            shutdown_hook::run(&cli.runtime_dir, action).map(done)
        }
        None => serve::serve(&cli).map(done),
    };
    match answer {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}
