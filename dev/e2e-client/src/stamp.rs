//! Moments on the processor's counter, which runs through a kexec: for measurements.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::say;

/// Time between two tries of a service that is not there yet.
const PAUSE: Duration = Duration::from_millis(1);

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// Program and arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    argv: Vec<String>,
}

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct AskArguments {
    /// Unix socket of a server that speaks the Redis protocol.
    #[arg(long)]
    unix: PathBuf,
}

/// Runs a program and says when it had succeeded.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let (program, rest) = arguments.argv.split_first().context("no program")?;
    let status = Command::new(program)
        .args(rest)
        .status()
        .with_context(|| program.clone())?;
    let at = now()?;
    ensure!(status.success(), "{program} ended with {status}");
    say!("done at {at}");
    Ok(())
}

/// Asks until there is an answer, and says when that was.
pub(crate) fn ask(arguments: &AskArguments) -> anyhow::Result<()> {
    let mut stream = loop {
        match UnixStream::connect(&arguments.unix) {
            Ok(stream) => break stream,
            Err(_error) => thread::sleep(PAUSE),
        }
    };
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    let at = now()?;
    ensure!(
        &answer == b"+PONG\r\n",
        "not the answer to PING: {}",
        answer.escape_ascii()
    );
    say!("answered at {at}");
    Ok(())
}

/// Leaves a moment in the kernel's log: all that a program about to jump can leave.
pub(crate) fn leave(what: &str) -> anyhow::Result<()> {
    let line = format!("e2e: {what} at {}\n", now()?);
    fs::write("/dev/kmsg", line).context("write to /dev/kmsg")
}

fn now() -> anyhow::Result<u64> {
    clock_sys::tsc().context("this processor has no time stamp counter")
}
