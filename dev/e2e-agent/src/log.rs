//! The agent log: what the agent does and what its services write, line by line to the host.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::bootinfo::uptime_ms;
use crate::kmsg;

/// Bytes kept until the port is there.
const PENDING_MAX: usize = 1 << 20;

/// Where log lines go.
#[derive(Debug)]
enum Sink {
    /// The port is not open yet.
    Pending(Vec<u8>),
    Port(File),
    /// There is no port: the kernel log gets the lines.
    Kernel,
}

/// The agent log of this worker.
#[derive(Debug)]
pub(crate) struct Log {
    sink: Mutex<Sink>,
}

impl Log {
    /// Makes a log that keeps its lines until [`Self::open`].
    pub(crate) fn new() -> Self {
        Self {
            sink: Mutex::new(Sink::Pending(Vec::new())),
        }
    }

    /// Gives the log its port, or the reason why there is none.
    pub(crate) fn open(&self, port: anyhow::Result<File>) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = match &mut *sink {
            Sink::Pending(pending) => std::mem::take(pending),
            Sink::Port(_) | Sink::Kernel => Vec::new(),
        };
        *sink = match port {
            Ok(file) => Sink::Port(file),
            Err(error) => {
                kmsg::write(&format!("no agent log: {error:#}"));
                Sink::Kernel
            }
        };
        for line in pending.split_inclusive(|byte| *byte == b'\n') {
            sink.write(line);
        }
    }

    /// Writes one line of `who`.
    pub(crate) fn line(&self, who: &str, text: &[u8]) {
        let uptime = uptime_ms();
        let mut line = format!("[{:5}.{:03}] {who}: ", uptime / 1000, uptime % 1000).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        self.sink
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(&line);
    }
}

impl Sink {
    fn write(&mut self, line: &[u8]) {
        match self {
            Self::Pending(pending) => {
                if pending.len() + line.len() <= PENDING_MAX {
                    pending.extend_from_slice(line);
                }
            }
            Self::Port(port) => {
                // A log that cannot be written has nowhere to complain.
                let _lost = port.write_all(line);
            }
            Self::Kernel => kmsg::write(String::from_utf8_lossy(line).trim_end()),
        }
    }
}
