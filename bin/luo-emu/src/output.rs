//! Messages, on standard error: standard output is the program's.

use std::cell::RefCell;
use std::io::{self, Write};

use anyhow::Error;
use emulator::{Event, Observer};

/// Prints what happens, each line with its generation.
pub(crate) struct Messages {
    output: RefCell<Option<io::Stderr>>,
}

impl Messages {
    /// Prints everything, or nothing.
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self {
            output: RefCell::new((!is_quiet).then(io::stderr)),
        }
    }
}

impl Observer for Messages {
    fn event(&self, generation: u32, event: &Event<'_>) {
        if let Some(output) = &mut *self.output.borrow_mut() {
            // Without standard error there is nobody to tell.
            let _closed = writeln!(output, "luo-emu: generation {generation}: {event}");
        }
    }
}

/// Prints why the run failed.
pub(crate) fn error(error: &Error, output: &mut dyn Write) {
    let _closed = writeln!(output, "luo-emu: {error:#}");
}
