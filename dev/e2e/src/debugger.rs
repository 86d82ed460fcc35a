//! A hand on the machine's processors and memory: stops it at an address, writes its memory to a
//! file.
//!
//! Processors are stopped through QEMU's gdb stub, in the protocol of `gdbserver`; memory is
//! written by the command `dump-guest-memory` of QEMU's machine protocol (QMP).

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::Error;

/// Longest wait for an answer that takes no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Holds a machine. It stands still from the moment this is made until [`Debugger::go`].
#[derive(Debug)]
pub struct Debugger {
    stub: BufReader<UnixStream>,
    stub_path: PathBuf,
    monitor: BufReader<UnixStream>,
    monitor_path: PathBuf,
}

impl Debugger {
    /// Connects to both sockets of a machine and stops it.
    pub(crate) fn attach(stub_path: &Path, monitor_path: &Path) -> Result<Self, Error> {
        let connect = |path: &Path| -> Result<BufReader<UnixStream>, Error> {
            let stream = UnixStream::connect(path).map_err(Error::host("connect to", path))?;
            stream
                .set_read_timeout(Some(PATIENCE))
                .map_err(Error::host("set up", path))?;
            Ok(BufReader::new(stream))
        };
        let mut debugger = Self {
            stub: connect(stub_path)?,
            stub_path: stub_path.to_owned(),
            monitor: connect(monitor_path)?,
            monitor_path: monitor_path.to_owned(),
        };
        // The greeting, then the one command that must come first.
        debugger.monitor_line()?;
        debugger.monitor("qmp_capabilities", &json!({}))?;
        // Only a question makes the stub take notice of us, and stop the machine.
        debugger.ask("?")?;
        Ok(debugger)
    }

    /// Stops at a virtual address from now on.
    ///
    /// # Errors
    /// The stub does not answer, or refuses.
    pub fn stop_at(&mut self, address: u64) -> Result<(), Error> {
        self.ask_done(&format!("Z1,{address:x},1"))
    }

    /// Does not stop there any more.
    ///
    /// # Errors
    /// The stub does not answer, or refuses.
    pub fn pass(&mut self, address: u64) -> Result<(), Error> {
        self.ask_done(&format!("z1,{address:x},1"))
    }

    /// Lets the machine run.
    ///
    /// # Errors
    /// The stub is gone.
    pub fn go(&mut self) -> Result<(), Error> {
        self.send("c")
    }

    /// Waits until the machine has stopped.
    ///
    /// # Errors
    /// [`Error::Deadline`] if it has not; the stub is gone.
    pub fn wait_stop(&mut self, patience: Duration) -> Result<(), Error> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let deadline = || Error::Deadline {
                what: "the stop at a breakpoint".to_owned(),
                waited: patience,
            };
            if left.is_zero() {
                return Err(deadline());
            }
            self.set_timeout(left)?;
            match self.packet() {
                Ok(answer) if is_stop(&answer) => break,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Err(deadline()),
                Err(error) => return Err(self.stub_error(error)),
            }
        }
        self.set_timeout(PATIENCE)
    }

    /// Writes the machine's physical memory to `path`, as an ELF dump.
    ///
    /// # Errors
    /// QEMU refuses, or cannot write there.
    pub fn dump_memory(&mut self, path: &Path) -> Result<(), Error> {
        let protocol = format!("file:{}", path.display());
        let arguments = json!({ "paging": false, "protocol": protocol });
        self.monitor("dump-guest-memory", &arguments)
    }

    fn set_timeout(&self, timeout: Duration) -> Result<(), Error> {
        let set = self.stub.get_ref().set_read_timeout(Some(timeout));
        set.map_err(Error::host("set up", &self.stub_path))
    }

    fn stub_error(&self, error: io::Error) -> Error {
        Error::host("talk to the gdb stub at", &self.stub_path)(error)
    }

    fn ask_done(&mut self, question: &str) -> Result<(), Error> {
        let mut answer = self.ask(question)?;
        // The stop that attaching causes is told in its own time.
        while is_stop(&answer) {
            answer = self.packet().map_err(|error| self.stub_error(error))?;
        }
        if answer == "OK" {
            return Ok(());
        }
        Err(self.stub_error(io::Error::other(format!(
            "{question} was answered with {answer:?}"
        ))))
    }

    fn ask(&mut self, question: &str) -> Result<String, Error> {
        self.send(question)?;
        self.packet().map_err(|error| self.stub_error(error))
    }

    fn send(&mut self, content: &str) -> Result<(), Error> {
        let sum = content.bytes().fold(0_u8, u8::wrapping_add);
        let packet = format!("${content}#{sum:02x}");
        let sent = self.stub.get_mut().write_all(packet.as_bytes());
        sent.map_err(|error| self.stub_error(error))
    }

    /// The next packet; acknowledged.
    fn packet(&mut self) -> io::Result<String> {
        let mut before = Vec::new();
        self.stub.read_until(b'$', &mut before)?;
        let mut content = Vec::new();
        self.stub.read_until(b'#', &mut content)?;
        let mut sum = [0; 2];
        self.stub.read_exact(&mut sum)?;
        self.stub.get_mut().write_all(b"+")?;
        content.pop();
        String::from_utf8(content).map_err(io::Error::other)
    }

    /// One command; its answer is the line that is no event.
    fn monitor(&mut self, command: &str, arguments: &Value) -> Result<(), Error> {
        let question = json!({ "execute": command, "arguments": arguments });
        let sent = writeln!(self.monitor.get_mut(), "{question}");
        sent.map_err(|error| self.monitor_error(error))?;
        loop {
            let answer = self.monitor_line()?;
            if answer.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                let text = format!("{command}: {error}");
                return Err(self.monitor_error(io::Error::other(text)));
            }
        }
    }

    fn monitor_line(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        let read = self.monitor.read_line(&mut line);
        read.map_err(|error| self.monitor_error(error))?;
        let value = serde_json::from_str(&line);
        value.map_err(|error| self.monitor_error(error.into()))
    }

    fn monitor_error(&self, error: io::Error) -> Error {
        Error::host("talk to the monitor at", &self.monitor_path)(error)
    }
}

fn is_stop(packet: &str) -> bool {
    packet.starts_with(['T', 'S'])
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
