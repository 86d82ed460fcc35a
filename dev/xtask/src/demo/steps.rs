//! Numbered steps, each with its time.

use std::time::Instant;

use crate::output;

/// Steps on the screen.
#[derive(Debug)]
pub(super) struct Steps {
    number: u32,
    count: u32,
    started: Instant,
}

impl Steps {
    /// So many are to come.
    pub(super) fn new(count: u32) -> Self {
        Self {
            number: 0,
            count,
            started: Instant::now(),
        }
    }

    pub(super) fn begin(&mut self, what: &str) {
        self.number += 1;
        self.started = Instant::now();
        output::line(&format!("{}/{}  {what}", self.number, self.count));
    }

    pub(super) fn done(&mut self, result: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        output::line(&format!("     {seconds:6.1} s  {result}"));
    }
}
