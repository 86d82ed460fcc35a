//! One guest machine from boot to power-off.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use e2e_protocol::{Bytes, Exit, FILE_CHUNK, Hello, LOG_FOLDER, Reply, Request, Target};

use crate::builder::Builder;
use crate::carrier::Carrier;
use crate::command::{Command, Outcome};
use crate::control::{Control, Lost};
use crate::debugger::Debugger;
use crate::diagnosis;
use crate::error::Error;

/// Longest wait for a short answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at a service's log.
const LOG_PAUSE: Duration = Duration::from_millis(20);
/// How much longer than a program's own limit its answer is waited for.
const RUN_MARGIN: Duration = Duration::from_secs(20);
/// How long the logs of a machine that is being dropped are waited for.
const LAST_LOGS_PATIENCE: Duration = Duration::from_secs(3);
/// A running guest machine. Dropping it kills its process.
#[derive(Debug)]
pub struct Machine {
    control: Control,
    carrier: Mutex<Carrier>,
    /// The boot that calls go to.
    boot: Mutex<Hello>,
    log_folder: PathBuf,
}

impl Machine {
    /// Describes a machine that boots `kernel` with `initramfs` and keeps its logs in
    /// `log_folder`.
    #[must_use]
    pub fn builder(kernel: &Path, initramfs: &Path, log_folder: &Path) -> Builder {
        Builder::new(kernel, initramfs, log_folder)
    }

    /// Takes over what [`Builder::boot`] started.
    pub(crate) const fn booted(
        control: Control,
        carrier: Carrier,
        hello: Hello,
        log_folder: PathBuf,
    ) -> Self {
        Self {
            control,
            carrier: Mutex::new(carrier),
            boot: Mutex::new(hello),
            log_folder,
        }
    }

    /// The kernel that runs, as its agent introduced it.
    pub fn hello(&self) -> Hello {
        lock(&self.boot).clone()
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// It cannot be started, or the machine fails. A program that fails is no error here: see
    /// [`Outcome::success`].
    pub fn run(&self, command: impl Into<Command>) -> Result<Outcome, Error> {
        let command = command.into();
        let what = format!("run {:?}", command.argv);
        match self.call(&what, command.run_request(), command.timeout + RUN_MARGIN)? {
            Reply::Ran(ran) => Ok(Outcome {
                argv: command.argv,
                ran,
            }),
            reply => Err(Error::WrongReply { what, reply }),
        }
    }

    /// Starts a service and gives its process id. Its output is in the agent log and in
    /// `/run/log/NAME` of the guest.
    ///
    /// # Errors
    /// It cannot be started, the name is taken, or the machine fails.
    pub fn spawn(&self, name: &str, command: impl Into<Command>) -> Result<u32, Error> {
        let what = format!("start the service {name}");
        let request = command.into().spawn_request(name);
        match self.call(&what, request, ANSWER_PATIENCE)? {
            Reply::Spawned { pid } => Ok(pid),
            reply => Err(Error::WrongReply { what, reply }),
        }
    }

    /// Sends a signal, by number, to a service.
    ///
    /// # Errors
    /// There is no such service or signal, it has ended, or the machine fails.
    pub fn signal(&self, service: &str, signal: i32) -> Result<(), Error> {
        let target = Target::Service(service.to_owned());
        let what = format!("send signal {signal} to {service}");
        self.call_done(&what, Request::Signal { target, signal })
    }

    /// Sends a signal, by number, to any process of the guest.
    ///
    /// # Errors
    /// There is no such process or signal, or the machine fails; [`Error::AgentRestarted`] if
    /// the process was the agent's worker.
    pub fn signal_pid(&self, pid: u32, signal: i32) -> Result<(), Error> {
        let target = Target::Pid(pid);
        let what = format!("send signal {signal} to process {pid}");
        self.call_done(&what, Request::Signal { target, signal })
    }

    /// Waits for the end of a service.
    ///
    /// # Errors
    /// [`Error::Deadline`] if it still runs then; or the machine fails.
    pub fn wait(&self, service: &str, patience: Duration) -> Result<Exit, Error> {
        let what = format!("the end of the service {service}");
        let request = Request::Wait {
            name: service.to_owned(),
            timeout_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
        };
        match self.call(&what, request, patience + RUN_MARGIN)? {
            Reply::Ended(Some(exit)) => Ok(exit),
            Reply::Ended(None) => Err(Error::Deadline {
                what,
                waited: patience,
            }),
            reply => Err(Error::WrongReply { what, reply }),
        }
    }

    /// Waits until a service has written `text`, and gives its log.
    ///
    /// # Errors
    /// [`Error::Deadline`] if it has not; or the machine fails.
    pub fn wait_log(&self, service: &str, text: &str, patience: Duration) -> Result<String, Error> {
        let start = Instant::now();
        loop {
            let log = self.read_file(&format!("{LOG_FOLDER}/{service}"))?;
            let log = String::from_utf8_lossy(&log).into_owned();
            if log.contains(text) {
                return Ok(log);
            }
            if start.elapsed() > patience {
                return Err(Error::Deadline {
                    what: format!("{text:?} in the log of the service {service}"),
                    waited: patience,
                });
            }
            thread::sleep(LOG_PAUSE);
        }
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// It cannot be read, or the machine fails.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, Error> {
        let what = format!("read {path}");
        let mut content = Vec::new();
        loop {
            let request = Request::ReadFile {
                path: path.to_owned(),
                offset: length(&content),
                max: u64::try_from(FILE_CHUNK).unwrap_or(u64::MAX),
            };
            match self.call(&what, request, ANSWER_PATIENCE)? {
                Reply::File { bytes } if bytes.0.is_empty() => return Ok(content),
                Reply::File { bytes } => content.extend_from_slice(&bytes.0),
                reply => return Err(Error::WrongReply { what, reply }),
            }
        }
    }

    /// Writes a whole file, with these permission bits if it is new.
    ///
    /// # Errors
    /// It cannot be written, or the machine fails.
    pub fn write_file(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let what = format!("write {path}");
        let (mut rest, mut offset) = (content, 0);
        loop {
            let (part, after) = rest.split_at(rest.len().min(FILE_CHUNK));
            let request = Request::WriteFile {
                path: path.to_owned(),
                mode,
                offset,
                bytes: Bytes(part.to_vec()),
            };
            self.call_done(&what, request)?;
            offset += length(part);
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Runs a program that jumps to another kernel, and waits for that kernel's agent.
    ///
    /// # Errors
    /// [`Error::NoJump`] if the program comes back; else what kept the next kernel from talking.
    pub fn jump(&self, command: impl Into<Command>, patience: Duration) -> Result<Hello, Error> {
        let command = command.into();
        let end = Instant::now() + patience;
        let known = self.hello();
        let id = self
            .control
            .send(command.run_request())
            .map_err(|error| diagnosis::closed(&mut lock(&self.carrier), error.to_string()))?;
        match self.control.wait_reply(id, &known, end) {
            Err(Lost::Rebooted(hello)) => {
                *lock(&self.boot) = Hello::clone(&hello);
                Ok(*hello)
            }
            Ok(reply) => Err(Error::NoJump {
                ended: came_back(&command, reply),
                argv: command.argv,
            }),
            Err(lost) => Err(self.explain(lost, "the jump", patience)),
        }
    }

    /// Waits for a kernel other than the known one.
    ///
    /// # Errors
    /// None booted in time, or the machine failed.
    pub fn wait_boot(&self, patience: Duration) -> Result<Hello, Error> {
        let known = self.hello().boot_id;
        let hello = self
            .control
            .wait_hello(Some(&known), Instant::now() + patience)
            .map_err(|lost| {
                diagnosis::explain(&mut lock(&self.carrier), lost, "the next boot", patience)
            })?;
        *lock(&self.boot) = hello.clone();
        Ok(hello)
    }

    /// Takes hold of the machine; it stands still until [`Debugger::go`].
    ///
    /// # Errors
    /// QEMU does not answer, or the machine is emulated.
    pub fn debugger(&self) -> Result<Debugger, Error> {
        let (stub, monitor) = lock(&self.carrier).debugger()?;
        Debugger::attach(&stub, &monitor)
    }

    /// Switches the machine off and waits for the end of its process.
    ///
    /// # Errors
    /// It did not end in time or in order.
    pub fn poweroff(self) -> Result<(), Error> {
        self.call_done("switch off", Request::Poweroff)?;
        match lock(&self.carrier).wait(ANSWER_PATIENCE) {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(diagnosis::closed(
                &mut lock(&self.carrier),
                "switched off".to_owned(),
            )),
            None => Err(Error::Deadline {
                what: "the end of the machine after power-off".to_owned(),
                waited: ANSWER_PATIENCE,
            }),
        }
    }

    fn call_done(&self, what: &str, request: Request) -> Result<(), Error> {
        match self.call(what, request, ANSWER_PATIENCE)? {
            Reply::Done => Ok(()),
            reply => Err(Error::WrongReply {
                what: what.to_owned(),
                reply,
            }),
        }
    }

    fn call(&self, what: &str, request: Request, patience: Duration) -> Result<Reply, Error> {
        let end = Instant::now() + patience;
        let known = self.hello();
        let reply = self
            .control
            .send(request)
            .map_err(|error| Lost::Closed(error.to_string()))
            .and_then(|id| self.control.wait_reply(id, &known, end))
            .map_err(|lost| self.explain(lost, what, patience))?;
        match reply {
            Reply::Failed { message } => Err(Error::Refused {
                what: what.to_owned(),
                message,
            }),
            reply => Ok(reply),
        }
    }

    /// Names a loss, and turns to the new agent if there is one.
    fn explain(&self, lost: Lost, what: &str, waited: Duration) -> Error {
        if let Lost::Rebooted(hello) | Lost::AgentRestarted(hello) = &lost {
            *lock(&self.boot) = Hello::clone(hello);
        }
        diagnosis::explain(&mut lock(&self.carrier), lost, what, waited)
    }

    /// Keeps the guest's own logs while it can still give them.
    fn keep_last_logs(&self) {
        let end = Instant::now() + LAST_LOGS_PATIENCE;
        let known = self.hello();
        let reply = self
            .control
            .send(Request::CollectLogs)
            .map_err(|error| Lost::Closed(error.to_string()))
            .and_then(|id| self.control.wait_reply(id, &known, end));
        if let Ok(Reply::Logs(kept)) = reply {
            for log in kept {
                let name = match log.name.as_str() {
                    "kernel" => "kernel.log".to_owned(),
                    service => format!("service-{service}.log"),
                };
                // Without them the report has the serial log and the agent log.
                let _best_effort = fs::write(self.log_folder.join(name), log.bytes.0);
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let has_ended = lock(&self.carrier).wait(Duration::ZERO).is_some();
        if !has_ended {
            self.keep_last_logs();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn came_back(command: &Command, reply: Reply) -> String {
    match reply {
        Reply::Ran(ran) => {
            let exit = ran.exit;
            let argv = command.argv.clone();
            format!("{exit:?}\n{}", Outcome { argv, ran }.output())
        }
        Reply::Failed { message } => message,
        reply => format!("{reply:?}"),
    }
}
