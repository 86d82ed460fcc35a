//! One guest machine from boot to power-off.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e2e_protocol::{Bytes, Exit, FILE_CHUNK, Hello, Reply, Request};

use crate::accel::Accel;
use crate::command::{Command, Outcome};
use crate::control::{Control, Lost};
use crate::error::Error;
use crate::logs;
use crate::qemu::{Hardware, Qemu};

/// What every guest is booted with. `liveupdate=on`: off by default in the kernel.
/// `retain_initrd`: keeps `/sys/firmware/initrd`, so that the next kernel can be given the same
/// image. `panic=-1`: with `-no-reboot` a panic ends QEMU at once. `tsc=reliable`: under emulation
/// on a busy host the clock watchdog sees skew that is not there.
const CMDLINE: &str = "console=ttyS0 liveupdate=on kho=on retain_initrd panic=-1 oops=panic \
                       tsc=reliable no_timer_check printk.devkmsg=on";

/// Longest boot, in emulation on a busy host.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for a short answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How much longer than a program's own limit its answer is waited for.
const RUN_MARGIN: Duration = Duration::from_secs(20);
/// How long the logs of a machine that is being dropped are waited for.
const LAST_LOGS_PATIENCE: Duration = Duration::from_secs(3);
/// A machine whose channel is closed has mostly ended or is about to.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A machine before its boot.
#[derive(Clone, Debug)]
pub struct Builder {
    kernel: PathBuf,
    initramfs: PathBuf,
    log_folder: PathBuf,
    cmdline: String,
    memory_mib: u32,
    cpus: u32,
}

impl Builder {
    /// Sets the memory (512 MiB else).
    #[must_use]
    pub const fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Sets the number of processors (2 else).
    #[must_use]
    pub const fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Adds to the kernel's command line; a later word wins over an earlier one.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        self.cmdline.push(' ');
        self.cmdline.push_str(words);
        self
    }

    /// Starts the machine and waits until its agent answers.
    ///
    /// # Errors
    /// [`Error`] tells apart a missing QEMU, its end, a panic of the guest, and silence.
    pub fn boot(self) -> Result<Machine, Error> {
        fs::create_dir_all(&self.log_folder)
            .map_err(Error::host("make the folder", &self.log_folder))?;
        let hardware = Hardware {
            accel: Accel::choose(&self.kernel),
            kernel: self.kernel,
            initramfs: self.initramfs,
            cmdline: self.cmdline,
            memory_mib: self.memory_mib,
            cpus: self.cpus,
        };
        let qemu = Mutex::new(Qemu::start(&hardware, &self.log_folder)?);
        let socket = lock(&qemu).socket();
        let control = match Control::connect(&socket) {
            Ok(control) => control,
            Err(error) => return Err(diagnose(&qemu, error.to_string())),
        };
        let end = Instant::now() + BOOT_PATIENCE;
        let hello = control
            .wait_hello(None, end)
            .map_err(|lost| explain(&qemu, lost, "the first boot", BOOT_PATIENCE))?;
        Ok(Machine {
            control,
            qemu,
            boot: Mutex::new(hello),
            log_folder: self.log_folder,
        })
    }
}

/// A running guest machine. Dropping it kills QEMU.
#[derive(Debug)]
pub struct Machine {
    control: Control,
    qemu: Mutex<Qemu>,
    /// The boot that calls go to.
    boot: Mutex<Hello>,
    log_folder: PathBuf,
}

impl Machine {
    /// Describes a machine that boots `kernel` with `initramfs` and keeps its logs in
    /// `log_folder`.
    #[must_use]
    pub fn builder(kernel: &Path, initramfs: &Path, log_folder: &Path) -> Builder {
        Builder {
            kernel: kernel.to_owned(),
            initramfs: initramfs.to_owned(),
            log_folder: log_folder.to_owned(),
            cmdline: CMDLINE.to_owned(),
            memory_mib: 512,
            cpus: 2,
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
        let name = service.to_owned();
        let what = format!("send signal {signal} to {service}");
        self.call_done(&what, Request::Signal { name, signal })
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
        let known = self.hello().boot_id;
        let id = self
            .control
            .send(command.run_request())
            .map_err(|error| diagnose(&self.qemu, error.to_string()))?;
        match self.control.wait_reply(id, &known, end) {
            Err(Lost::Rebooted(hello)) => {
                *lock(&self.boot) = Hello::clone(&hello);
                Ok(*hello)
            }
            Ok(reply) => Err(Error::NoJump {
                ended: came_back(&command, reply),
                argv: command.argv,
            }),
            Err(lost) => Err(explain(&self.qemu, lost, "the jump", patience)),
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
            .map_err(|lost| explain(&self.qemu, lost, "the next boot", patience))?;
        *lock(&self.boot) = hello.clone();
        Ok(hello)
    }

    /// Switches the machine off and waits for the end of QEMU.
    ///
    /// # Errors
    /// It did not end in time or in order.
    pub fn poweroff(self) -> Result<(), Error> {
        self.call_done("switch off", Request::Poweroff)?;
        match lock(&self.qemu).wait(ANSWER_PATIENCE) {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(diagnose(&self.qemu, "switched off".to_owned())),
            None => Err(Error::Deadline {
                what: "the end of QEMU after power-off".to_owned(),
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
        let boot_id = self.hello().boot_id;
        let reply = self
            .control
            .send(request)
            .map_err(|error| Lost::Closed(error.to_string()))
            .and_then(|id| self.control.wait_reply(id, &boot_id, end))
            .map_err(|lost| explain(&self.qemu, lost, what, patience))?;
        match reply {
            Reply::Failed { message } => Err(Error::Refused {
                what: what.to_owned(),
                message,
            }),
            reply => Ok(reply),
        }
    }

    /// Keeps the guest's own logs while it can still give them.
    fn keep_last_logs(&self) {
        let end = Instant::now() + LAST_LOGS_PATIENCE;
        let boot_id = self.hello().boot_id;
        let reply = self
            .control
            .send(Request::CollectLogs)
            .map_err(|error| Lost::Closed(error.to_string()))
            .and_then(|id| self.control.wait_reply(id, &boot_id, end));
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
        let has_ended = lock(&self.qemu).wait(Duration::ZERO).is_some();
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

fn explain(qemu: &Mutex<Qemu>, lost: Lost, what: &str, waited: Duration) -> Error {
    let what = what.to_owned();
    match lost {
        Lost::Rebooted(hello) => Error::Rebooted {
            release: hello.release,
            what,
        },
        Lost::Closed(reason) => diagnose(qemu, reason),
        Lost::Deadline => match logs::panic_line(&lock(qemu).serial_log()) {
            Some(line) => Error::KernelPanic { line },
            None => Error::Deadline { what, waited },
        },
    }
}

/// Tells why a channel closed: a panic of the guest, the end of QEMU, or neither.
fn diagnose(qemu: &Mutex<Qemu>, reason: String) -> Error {
    let mut qemu = lock(qemu);
    let status = qemu.wait(END_PATIENCE);
    if let Some(line) = logs::panic_line(&qemu.serial_log()) {
        return Error::KernelPanic { line };
    }
    match status {
        Some(status) => Error::QemuEnded {
            status,
            stderr: logs::tail(&qemu.own_log(), 5),
        },
        None => Error::ChannelClosed { reason },
    }
}
