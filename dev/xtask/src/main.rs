//! The one tool of this repository: `cargo xtask` builds kernels, checks the workspace and runs every test.

mod cli;
mod demo;
mod dist;
mod files;
mod fuzz;
mod guest;
mod host;
mod kernel_command;
mod layers;
mod links;
mod output;
mod prerequisites;
mod rust_code;
mod test_run;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
