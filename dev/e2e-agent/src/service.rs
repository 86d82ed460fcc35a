//! Services: programs that run beside the conversation, each with a name and a log.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{PipeReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use e2e_protocol::{Exit, LOG_FOLDER};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::log::Log;
use crate::run::{Program, exit};

/// Longest line of a service in the agent log; the service's own log has all of it.
const LINE_MAX: usize = 4096;

/// One started service.
#[derive(Debug)]
struct Service {
    /// Names the process even after its end.
    handle: OwnedFd,
    ended: Mutex<Option<Exit>>,
    has_ended: Condvar,
}

/// Every service that was started by this worker.
#[derive(Debug)]
pub(crate) struct Services {
    started: Mutex<HashMap<String, Arc<Service>>>,
    log: Arc<Log>,
}

impl Services {
    /// Makes an empty set whose services write to `log`.
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self {
            started: Mutex::new(HashMap::new()),
            log,
        }
    }

    /// The agent log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Starts a service and gives its process id.
    ///
    /// # Errors
    /// A running service has the name, or the program cannot be started.
    pub(crate) fn spawn(
        &self,
        name: &str,
        argv: &[String],
        env: &[(String, String)],
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> anyhow::Result<u32> {
        ensure!(
            !name.is_empty() && name != "." && name != ".." && !name.contains('/'),
            "{name:?} cannot be the name of a service: it is the name of its log file"
        );
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = started.get(name) {
            let ended = service.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ensure!(ended.is_some(), "a service called {name:?} is running");
        }
        fs::create_dir_all(LOG_FOLDER).with_context(|| format!("make {LOG_FOLDER}"))?;
        let path = Path::new(LOG_FOLDER).join(name);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        let program = Program {
            argv,
            env,
            cwd: None,
            uid,
            gid,
        };
        let (child, output) = start(&program)?;
        let pid = child.id();
        let handle = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("process id out of range")
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open"))?;
        let service = Arc::new(Service {
            handle,
            ended: Mutex::new(None),
            has_ended: Condvar::new(),
        });
        started.insert(name.to_owned(), Arc::clone(&service));
        self.log
            .line(name, format!("started as {pid}: {argv:?}").as_bytes());
        let (who, log) = (name.to_owned(), Arc::clone(&self.log));
        thread::spawn(move || copy_output(output, file, &who, &log));
        let (who, log) = (name.to_owned(), Arc::clone(&self.log));
        thread::spawn(move || await_end(child, &service, &who, &log));
        Ok(pid)
    }

    /// Sends a signal to a service that has not ended.
    pub(crate) fn signal(&self, name: &str, number: i32) -> anyhow::Result<()> {
        let signal = known_signal(number)?;
        let service = self.find(name)?;
        pidfd_send_signal(&service.handle, signal)
            .with_context(|| format!("send signal {number} to {name}"))
    }

    /// Waits for the end of a service; `None` if `patience` was not enough.
    pub(crate) fn wait(&self, name: &str, patience: Duration) -> anyhow::Result<Option<Exit>> {
        let service = self.find(name)?;
        let ended = service.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _) = service
            .has_ended
            .wait_timeout_while(ended, patience, |ended| ended.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        Ok(*ended)
    }

    fn find(&self, name: &str) -> anyhow::Result<Arc<Service>> {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        match started.get(name) {
            Some(service) => Ok(Arc::clone(service)),
            None => bail!("no service called {name:?} was started in this boot"),
        }
    }
}

/// Sends a signal to any process.
pub(crate) fn signal_pid(pid: u32, number: i32) -> anyhow::Result<()> {
    let signal = known_signal(number)?;
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let target = target.with_context(|| format!("{pid} is no process id"))?;
    kill_process(target, signal).with_context(|| format!("send signal {number} to process {pid}"))
}

fn known_signal(number: i32) -> anyhow::Result<Signal> {
    Signal::from_named_raw(number).with_context(|| format!("no signal has the number {number}"))
}

/// Starts the program with both outputs in one pipe.
fn start(program: &Program<'_>) -> anyhow::Result<(Child, PipeReader)> {
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    let second = writer.try_clone().context("duplicate the pipe")?;
    // The command is dropped at the end of the statement, and with it our ends for writing.
    let child = program
        .command()?
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .spawn()
        .with_context(|| format!("start {:?}", program.argv))?;
    Ok((child, reader))
}

fn await_end(mut child: Child, service: &Service, name: &str, log: &Log) {
    let Ok(status) = child.wait() else { return };
    let status = exit(status);
    log.line(name, format!("ended: {status:?}").as_bytes());
    *service.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    service.has_ended.notify_all();
}

/// Copies what a service writes into its file at once, and into the agent log by lines.
fn copy_output(mut output: PipeReader, mut file: File, name: &str, log: &Log) {
    let mut chunk = vec![0; 64 << 10];
    let mut line = Vec::new();
    while let Ok(len @ 1..) = output.read(&mut chunk) {
        let written = chunk.get(..len).unwrap_or_default();
        // The host still gets the lines if the guest's memory is full.
        let _full = file.write_all(written);
        for byte in written {
            if *byte == b'\n' || line.len() == LINE_MAX {
                log.line(name, &line);
                line.clear();
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        log.line(name, &line);
    }
}
