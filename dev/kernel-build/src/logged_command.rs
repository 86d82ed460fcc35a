//! A program whose output goes to a log file, with progress on the way and the log's end on failure.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::error::{Error, StepFailed, io_error};
use crate::progress::{LiveLine, announce, minutes};

/// Lines of the log shown on failure.
const TAIL_LINES: usize = 30;
/// The most of a log's end that is read for those lines.
const TAIL_BYTES: u64 = 64 * 1024;
const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_MOST: Duration = Duration::from_millis(250);

/// What is shown of a running step beside its elapsed time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// Nothing more.
    Elapsed,
    /// Objects that kbuild compiled so far, of about so many.
    Objects {
        /// How many a build like this had before.
        expected: u64,
    },
    /// Each test that ended, in a line of its own as the test program printed it.
    Tests,
    /// Size of the files directly in a folder, for a download.
    FolderBytes(PathBuf),
}

/// A program about to run as a named step.
#[derive(Debug)]
pub struct LoggedCommand {
    step: String,
    command: Command,
    log: PathBuf,
    progress: Progress,
}

/// What a successful step tells.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// How long it took.
    pub elapsed: Duration,
    /// Objects that kbuild reported.
    pub objects: u64,
}

impl LoggedCommand {
    /// Prepares a step that writes the program's output to `log`, replacing an older log.
    pub fn new(step: &str, command: Command, log: PathBuf) -> Self {
        Self {
            step: step.to_owned(),
            command,
            log,
            progress: Progress::Elapsed,
        }
    }

    /// Chooses what the live line shows.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Runs the step to its end.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the program does not start, [`Error::Step`] with the last lines of the log when it fails.
    pub fn run(mut self) -> Result<Finished, Error> {
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        }
        let log = File::create(&self.log).map_err(io_error("create", &self.log))?;
        let second = log.try_clone().map_err(io_error("open", &self.log))?;
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(second)
            .spawn()
            .map_err(|source| Error::Spawn { program, source })?;
        let mut line = LiveLine::new(&self.step);
        let mut follower = LogFollower::open(&self.log)?;
        let status = self.watch(&mut child, &mut line, &mut follower);
        follower.read();
        self.tell_tests(&mut line, &mut follower);
        line.clear();
        let status = status?;
        if !status.success() {
            return Err(Error::Step(StepFailed {
                step: self.step,
                status: status.to_string(),
                tail: last_lines(&self.log),
                log: self.log,
            }));
        }
        Ok(Finished {
            elapsed: line.elapsed(),
            objects: follower.objects,
        })
    }

    fn watch(
        &self,
        child: &mut Child,
        line: &mut LiveLine,
        follower: &mut LogFollower,
    ) -> Result<ExitStatus, Error> {
        let mut pause = POLL_FIRST;
        loop {
            if let Some(status) = child.try_wait().map_err(io_error("wait for", &self.log))? {
                return Ok(status);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(POLL_MOST);
            follower.read();
            self.tell_tests(line, follower);
            let detail = match &self.progress {
                Progress::Elapsed => String::new(),
                Progress::Objects { expected } => {
                    format!("{} of about {expected} objects", follower.objects)
                }
                Progress::Tests => format!("{} tests done", follower.tests),
                Progress::FolderBytes(folder) => {
                    format!("{} MB", folder_bytes(folder) / 1_000_000)
                }
            };
            line.update(&detail, &self.log);
        }
    }

    /// Shows the tests that ended since the last look.
    fn tell_tests(&self, line: &mut LiveLine, follower: &mut LogFollower) {
        let ended = std::mem::take(&mut follower.ended_tests);
        if matches!(self.progress, Progress::Tests) {
            for test in ended {
                line.clear();
                announce(&format!("{:>8}  {test}", minutes(line.elapsed())));
            }
        }
    }
}

/// Reads a log while it grows.
#[derive(Debug)]
struct LogFollower {
    log: File,
    partial: Vec<u8>,
    /// Compile lines of kbuild so far.
    objects: u64,
    /// Tests that ended so far.
    tests: u64,
    /// Their lines, until somebody takes them.
    ended_tests: Vec<String>,
}

impl LogFollower {
    fn open(log: &Path) -> Result<Self, Error> {
        Ok(Self {
            log: File::open(log).map_err(io_error("open", log))?,
            partial: Vec::new(),
            objects: 0,
            tests: 0,
            ended_tests: Vec::new(),
        })
    }

    /// Reads what is new in the log; a log that cannot be read only costs the progress.
    fn read(&mut self) {
        drop(self.log.read_to_end(&mut self.partial));
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let lines = self.partial.drain(..=end).collect::<Vec<_>>();
        for line in lines.split(|byte| *byte == b'\n') {
            if is_object(line) {
                self.objects += 1;
            } else if let Some(test) = ended_test(line) {
                self.tests += 1;
                self.ended_tests.push(test);
            }
        }
    }
}

/// `NAME ... ok` of a test program's line, its padding left out.
fn ended_test(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line.strip_prefix(b"test ")?);
    let (name, result) = text.split_once(" ... ")?;
    Some(format!("{} ... {}", name.trim_end(), result.trim_end()))
}

fn is_object(line: &[u8]) -> bool {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    matches!(words.next(), Some(b"CC" | b"AS" | b"HOSTCC"))
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Returns the last lines of a log; of an unreadable one, none.
fn last_lines(log: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let start = length.saturating_sub(TAIL_BYTES);
        drop(file.seek(SeekFrom::Start(start)));
        drop(file.read_to_end(&mut bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(TAIL_LINES))
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: PathBuf) -> LoggedCommand {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        LoggedCommand::new("step", command, log)
    }

    #[test]
    fn compile_lines_are_counted_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo '  CC      a.o'; echo '  AS      b.o'; echo '  LD      vmlinux'; echo CC; echo text";
        let finished = shell(script, folder.path().join("log")).run().unwrap();
        assert_eq!(finished.objects, 3);
    }

    #[test]
    fn ends_of_tests_are_told_apart_from_other_lines() {
        let line = b"test update::7.2_to_7.3      ... FAILED";
        assert_eq!(ended_test(line).unwrap(), "update::7.2_to_7.3 ... FAILED");
        for other in ["test result: ok. 2 passed; 0 failed", "running 2 tests", ""] {
            assert_eq!(ended_test(other.as_bytes()), None);
        }
    }

    #[test]
    fn failure_shows_the_last_thirty_lines_and_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("deep/log");
        let error = shell("seq 1 100; exit 3", log.clone()).run().unwrap_err();
        let Error::Step(failed) = error else {
            panic!("{error}")
        };
        assert_eq!(failed.tail.first().unwrap(), "71");
        assert_eq!(failed.tail.last().unwrap(), "100");
        assert!(failed.to_string().contains(&log.display().to_string()));
        assert!(failed.status.contains('3'), "{}", failed.status);
    }

    #[test]
    fn a_missing_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("no-such-program-here");
        let error = LoggedCommand::new("step", command, folder.path().join("log"))
            .run()
            .unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"));
    }
}
