//! `klp`: livepatch modules for Linux.

use std::env;
use std::io;
use std::process::ExitCode;

use clap::Parser as _;

mod build;
mod checksum;
mod cli;
mod diff;
mod explain;
mod link;
mod names;
mod objtool;
mod output;
mod plan;
mod schema;
mod show;
mod verify;

fn main() -> ExitCode {
    let mut output = io::BufWriter::new(io::stdout().lock());
    match cli::Cli::parse_from(objtool::arguments(env::args_os())).run(&mut output) {
        Ok(code) => code,
        Err(error) => output::failure(&error, &mut io::stderr()),
    }
}
