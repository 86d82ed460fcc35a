//! `luo-emu`: a live update machine for unmodified programs.

use std::io;
use std::process::ExitCode;

use anyhow::Error;
use clap::Parser as _;

mod cli;
mod exit;
mod output;

fn main() -> ExitCode {
    let run = match cli::Cli::parse().command {
        cli::Command::Run(run) => run,
        cli::Command::Kernel(kernel) => return write_kernel(&kernel),
    };
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

fn write_kernel(kernel: &cli::KernelFile) -> ExitCode {
    let image = emulator::kernel_image(&kernel.release);
    match std::fs::write(&kernel.file, image) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = Error::new(error).context(format!("write {}", kernel.file.display()));
            output::error(&error, &mut io::stderr());
            ExitCode::FAILURE
        }
    }
}
