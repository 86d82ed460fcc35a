//! Programs that run to their end while the host waits.

use std::io::{Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e_protocol::{Captured, Exit, OUTPUT_LIMIT, Ran};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long output is waited for after the program's end: a daemon it left behind may hold its
/// streams open for ever.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(1);

/// What to run, as whom.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) env: &'a [(String, String)],
    pub(crate) cwd: Option<&'a str>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

impl Program<'_> {
    /// The command, in a process group of its own.
    pub(crate) fn command(&self) -> anyhow::Result<Command> {
        let (program, arguments) = self.argv.split_first().context("no program named")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .process_group(0);
        // The worker itself is in the root. std takes a socket to start a program elsewhere, or as
        // somebody else, which not every kernel has.
        if let Some(cwd) = self.cwd {
            command.current_dir(cwd);
        }
        if let Some(gid) = self.gid {
            command.gid(gid);
        }
        if let Some(uid) = self.uid {
            command.uid(uid);
        }
        Ok(command)
    }
}

/// Runs a program, feeds it `stdin`, keeps the start of what it writes.
///
/// # Errors
/// It cannot be started. Everything after that is in the result.
pub(crate) fn run(
    program: &Program<'_>,
    stdin: Vec<u8>,
    patience: Duration,
) -> anyhow::Result<Ran> {
    let start = Instant::now();
    let mut child = program
        .command()?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {:?}", program.argv))?;
    if let Some(mut input) = child.stdin.take() {
        // A program need not read its input: a broken pipe is its own affair.
        thread::spawn(move || input.write_all(&stdin));
    }
    let stdout = child.stdout.take().map(Output::collect);
    let stderr = child.stderr.take().map(Output::collect);
    let exit = wait(&mut child, patience)?;
    let end = Instant::now() + OUTPUT_PATIENCE;
    Ok(Ran {
        exit,
        stdout: stdout.map(|output| output.take(end)).unwrap_or_default(),
        stderr: stderr.map(|output| output.take(end)).unwrap_or_default(),
        elapsed_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Waits for the end of a child; kills its group when `patience` is over.
fn wait(child: &mut Child, patience: Duration) -> anyhow::Result<Exit> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("process id out of range")?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).context("time to wait")?;
        let mut polled = [PollFd::new(&handle, PollFlags::IN)];
        match poll(&mut polled, Some(&left)) {
            Ok(0) => break,
            Ok(_) => return Ok(exit(child.wait().context("wait for the program")?)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll the program"),
        }
    }
    // It is not reaped yet, so its group number cannot belong to somebody else.
    kill_process_group(pid, Signal::KILL).context("kill the program's group")?;
    child.wait().context("wait for the killed program")?;
    Ok(Exit::TimedOut)
}

/// How a program ended.
pub(crate) fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// One output stream that is being read.
#[derive(Debug)]
struct Output {
    kept: Arc<Mutex<Captured>>,
    ended: Receiver<()>,
}

impl Output {
    fn collect(mut stream: impl Read + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Captured::default()));
        let (sender, ended) = channel();
        let shared = Arc::clone(&kept);
        thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            // Reads on past the limit: a full pipe would stop the program.
            while let Ok(len @ 1..) = stream.read(&mut chunk) {
                let mut captured = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT_LIMIT.saturating_sub(captured.bytes.0.len());
                let taken = chunk.get(..len.min(room)).unwrap_or_default();
                captured.bytes.0.extend_from_slice(taken);
                captured.is_truncated |= len > room;
            }
            drop(sender);
        });
        Self { kept, ended }
    }

    /// Takes what was read, waiting for the stream's end no longer than until `end`.
    fn take(self, end: Instant) -> Captured {
        let left = end.saturating_duration_since(Instant::now());
        match self.ended.recv_timeout(left) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, stdin: &str, patience_ms: u64) -> Ran {
        let argv = ["/bin/sh", "-c", script].map(String::from);
        let program = Program {
            argv: &argv,
            env: &[("WORD".into(), "from env".into())],
            cwd: Some("/tmp"),
            uid: None,
            gid: None,
        };
        run(&program, stdin.into(), Duration::from_millis(patience_ms)).unwrap()
    }

    #[test]
    fn streams_status_environment_and_folder_are_told() {
        let ran = shell("cat; pwd; echo $WORD >&2; exit 7", "in\n", 60_000);
        assert_eq!(ran.exit, Exit::Code(7));
        assert_eq!(ran.stdout.bytes.0, b"in\n/tmp\n");
        assert_eq!(ran.stderr.bytes.0, b"from env\n");
        assert_eq!(shell("kill -9 $$", "", 60_000).exit, Exit::Signal(9));
    }

    #[test]
    fn program_without_end_is_killed_with_its_children() {
        let ran = shell("echo started; sleep 1000 & sleep 1000", "", 300);
        assert_eq!(ran.exit, Exit::TimedOut);
        assert_eq!(ran.stdout.bytes.0, b"started\n");
    }

    #[test]
    fn flood_of_output_is_cut_and_does_not_block() {
        let ran = shell("head -c 3000000 /dev/zero", "", 60_000);
        assert_eq!(ran.exit, Exit::Code(0));
        assert_eq!(ran.stdout.bytes.0.len(), OUTPUT_LIMIT);
        assert!(ran.stdout.is_truncated);
    }

    #[test]
    fn daemon_that_holds_the_streams_does_not_block() {
        let ran = shell("sleep 1000 & echo $!", "", 60_000);
        assert_eq!(ran.exit, Exit::Code(0));
        let pid: i32 = String::from_utf8(ran.stdout.bytes.0)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}
