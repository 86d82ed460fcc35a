//! A program of luod's drop-in folder: writes down what it is told, and refuses when asked to.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _, stderr, stdin};

use anyhow::Context as _;

/// What it was told, a line each: the word and the payload.
const LOG: &str = "/tmp/participant.log";
/// While something is in this file, it refuses to prepare.
const VETO: &str = "/tmp/participant.veto";

/// Answers one word of luod.
pub(crate) fn answer(word: &str) -> anyhow::Result<()> {
    let mut payload = String::new();
    stdin()
        .read_to_string(&mut payload)
        .context("read the payload")?;
    let mut log = OpenOptions::new();
    let mut log = log.create(true).append(true).open(LOG)?;
    writeln!(log, "{word} {}", payload.trim())?;
    let is_refused = fs::read(VETO).is_ok_and(|veto| !veto.is_empty());
    if word == "prepare" && is_refused {
        // The last line is the reason: no backtrace behind it.
        writeln!(stderr(), "told to refuse")?;
        std::process::exit(1);
    }
    match word {
        "prepare" => crate::say!("{}", std::env::var("LIVEUPDATE_FROM")?),
        "freeze" => crate::say!("{} frozen", payload.trim()),
        _ => {}
    }
    Ok(())
}
