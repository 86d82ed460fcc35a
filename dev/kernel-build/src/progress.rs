//! Progress of a long step: one live line on a terminal, a plain line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a plain line is written when nobody watches a terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Shows on standard error that a step is alive.
#[derive(Debug)]
pub(crate) struct LiveLine {
    step: String,
    started: Instant,
    shown: Instant,
    is_terminal: bool,
    is_drawn: bool,
}

impl LiveLine {
    /// Starts the clock of a step.
    pub(crate) fn new(step: &str) -> Self {
        let now = Instant::now();
        Self {
            step: step.to_owned(),
            started: now,
            shown: now,
            is_terminal: io::stderr().is_terminal(),
            is_drawn: false,
        }
    }

    /// Returns the time since the step began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows the state of the step, if it is time to.
    pub(crate) fn update(&mut self, detail: &str, log: &Path) {
        let mut line = format!("{}: {}", self.step, minutes(self.elapsed()));
        if !detail.is_empty() {
            line.push_str(&format!(", {detail}"));
        }
        line.push_str(&format!(", log {}", log.display()));
        if self.is_terminal {
            self.is_drawn = true;
            to_stderr(&format!("\r\x1b[2K{line}"));
        } else if self.shown.elapsed() >= PLAIN_EVERY {
            self.shown = Instant::now();
            to_stderr(&format!("{line}\n"));
        }
    }

    /// Removes the live line, if there is one.
    pub(crate) fn clear(&mut self) {
        if self.is_drawn {
            self.is_drawn = false;
            to_stderr("\r\x1b[2K");
        }
    }
}

/// Writes one line of news.
pub(crate) fn announce(line: &str) {
    to_stderr(&format!("{line}\n"));
}

/// Formats a time as people read a clock: `4m07s`.
pub(crate) fn minutes(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

fn to_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    // A closed standard error is no reason to stop a build.
    drop(stderr.write_all(text.as_bytes()));
    drop(stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_clock() {
        assert_eq!(minutes(Duration::from_secs(59)), "59s");
        assert_eq!(minutes(Duration::from_secs(247)), "4m07s");
    }
}
