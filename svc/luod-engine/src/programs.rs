//! Programs in a folder that take part in an update, as subsystems do in the v4 series of LUO.
//!
//! Each is started with one word, what happens, and answers by its exit code:
//!
//! | Word | When | Standard input | Standard output |
//! |---|---|---|---|
//! | `prepare` | everything works | nothing | its payload |
//! | `freeze` | services stand still | its payload | a new payload, unless empty |
//! | `cancel` | nothing came of it | its payload | – |
//! | `boot` | luod runs in the next kernel | its payload | – |
//! | `finish` | every service has finished | its payload | – |
//!
//! A code other than 0 from `prepare` or `freeze` is a veto, the last line of standard error its
//! reason. `cancel` and `finish` cannot refuse; a `boot` that fails is told in the report.

use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use update::UpdateRecord;

/// Longest payload: it is a part of the journal.
const MAX_PAYLOAD_BYTES: usize = 64 << 10;
/// Of what a program says on standard error, as much is read.
const MAX_REASON_BYTES: usize = 4 << 10;
/// Time between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest time of `cancel`, `boot` and `finish`.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Prepare,
    Freeze,
    Cancel,
    Boot,
    Finish,
}

impl Word {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Freeze => "freeze",
            Self::Cancel => "cancel",
            Self::Boot => "boot",
            Self::Finish => "finish",
        }
    }
}

/// Why a program took no part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It cannot be started, or what it says cannot be read.
    #[error("it cannot be run: {0}")]
    Run(#[from] io::Error),
    /// It ended with another code than 0.
    #[error("{}", reason(*status, words))]
    Refused { status: ExitStatus, words: String },
    /// It did not end in time, and was killed.
    #[error("it did not end within {} ms", deadline.as_millis())]
    Late { deadline: Duration },
    /// Its payload is too long.
    #[error("its payload has more than {MAX_PAYLOAD_BYTES} bytes")]
    TooLong,
    /// Its payload is no text.
    #[error("its payload is no UTF-8 text")]
    NoText,
}

fn reason(status: ExitStatus, words: &str) -> String {
    match words.lines().next_back().map(str::trim) {
        Some(line) if !line.is_empty() => line.to_owned(),
        _ => format!("it ended with {status}"),
    }
}

/// The folder.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    folder: Option<PathBuf>,
}

impl Programs {
    /// Those in a folder, which need not be there.
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    /// None.
    pub const fn none() -> Self {
        Self { folder: None }
    }

    /// Names of the programs, in the order of their bytes. What cannot be executed, and what starts
    /// with a dot or ends with a tilde, is none.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.folder.as_ref().and_then(|it| fs::read_dir(it).ok());
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter(|entry| is_program(&entry.path()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.') && !name.ends_with('~'))
            .collect();
        names.sort();
        names
    }

    /// Runs a program; its payload.
    pub(crate) fn run(
        &self,
        name: &str,
        word: Word,
        payload: &str,
        update: &UpdateRecord,
        deadline: Duration,
    ) -> Result<String, ProgramError> {
        let folder = self.folder.as_deref().unwrap_or(Path::new(""));
        let mut child = Command::new(folder.join(name))
            .arg(word.name())
            .env("LIVEUPDATE_ID", &update.id)
            .env("LIVEUPDATE_FROM", &update.from_release)
            .env(
                "LIVEUPDATE_TO",
                update.to_release.as_deref().unwrap_or_default(),
            )
            .env("LIVEUPDATE_DEADLINE_MS", deadline.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its children end with it.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take();
        let payload = payload.to_owned();
        thread::spawn(move || {
            // Whoever does not read it does not want it.
            let _unread = input.map(|mut input| input.write_all(payload.as_bytes()));
        });
        let output = read(child.stdout.take(), MAX_PAYLOAD_BYTES + 1);
        let words = read(child.stderr.take(), MAX_REASON_BYTES);
        let status = wait(&mut child, deadline)?;
        let (output, words) = (text(output)?, text(words)?);
        if !status.success() {
            let words = String::from_utf8_lossy(&words).into_owned();
            return Err(ProgramError::Refused { status, words });
        }
        if output.len() > MAX_PAYLOAD_BYTES {
            return Err(ProgramError::TooLong);
        }
        String::from_utf8(output).map_err(|_no_text| ProgramError::NoText)
    }
}

fn is_program(path: &Path) -> bool {
    let metadata = fs::metadata(path);
    metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Reads to the end, and keeps so much: who writes more must not wait for a reader.
fn read(from: Option<impl Read + Send + 'static>, kept: usize) -> JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let limit = u64::try_from(kept).unwrap_or(u64::MAX);
            (&mut from).take(limit).read_to_end(&mut bytes)?;
            io::copy(&mut from, &mut io::sink())?;
        }
        Ok(bytes)
    })
}

fn text(reader: JoinHandle<io::Result<Vec<u8>>>) -> io::Result<Vec<u8>> {
    let failed = |_panic| io::Error::other("the reader failed");
    reader.join().map_err(failed)?
}

/// Waits for its end; at the deadline it and all it started are killed.
fn wait(child: &mut Child, deadline: Duration) -> Result<ExitStatus, ProgramError> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            // What it left behind would keep its output open.
            kill_group(child);
            return Ok(status);
        }
        if begin.elapsed() >= deadline {
            kill_group(child);
            child.wait()?;
            return Err(ProgramError::Late { deadline });
        }
        thread::sleep(PAUSE);
    }
}

fn kill_group(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // Nobody left is no error.
        let _gone = kill_process_group(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(programs: &[(&str, u32, &str)]) -> (tempfile::TempDir, Programs) {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode, script) in programs {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        let programs = Programs::in_folder(folder.path().to_owned());
        (folder, programs)
    }

    fn run(script: &str, payload: &str, deadline: Duration) -> Result<String, ProgramError> {
        let (_folder, programs) = folder(&[("a", 0o755, script)]);
        let update = UpdateRecord {
            id: "u1".to_owned(),
            ..UpdateRecord::default()
        };
        programs.run("a", Word::Freeze, payload, &update, deadline)
    }

    #[test]
    fn programs_are_what_can_be_executed_in_order() {
        let (_folder, programs) = folder(&[
            ("20-b", 0o755, ""),
            ("10-a", 0o700, ""),
            ("README", 0o644, ""),
            (".hidden", 0o755, ""),
            ("10-a~", 0o755, ""),
        ]);
        assert_eq!(programs.names(), ["10-a", "20-b"]);
        assert!(Programs::none().names().is_empty());
        assert!(
            Programs::in_folder("/does/not/exist".into())
                .names()
                .is_empty()
        );
    }

    #[test]
    fn a_program_gets_its_word_and_payload_and_gives_another() {
        let script = "echo $1 $LIVEUPDATE_ID; cat";
        assert_eq!(run(script, "kept", PATIENCE).unwrap(), "freeze u1\nkept");
        // Who does not read it is no trouble.
        let long = "x".repeat(MAX_PAYLOAD_BYTES);
        assert_eq!(run("true", &long, PATIENCE).unwrap(), "");
    }

    #[test]
    fn a_veto_has_the_last_line_as_its_reason() {
        let refused = |script| run(script, "", PATIENCE).unwrap_err().to_string();
        assert_eq!(refused("echo no >&2; echo not now >&2; exit 3"), "not now");
        assert!(refused("exit 3").contains("exit status: 3"));
        assert!(refused("kill -9 $$").contains("signal: 9"));
        assert!(refused("yes | head -c 100000").contains("more than 65536"));
        assert!(refused("printf '\\377'").contains("no UTF-8"));
        let (_folder, programs) = folder(&[]);
        let update = UpdateRecord::default();
        let missing = programs.run("gone", Word::Boot, "", &update, PATIENCE);
        assert!(matches!(missing, Err(ProgramError::Run(_))));
    }

    #[test]
    fn what_does_not_end_is_killed_with_its_children() {
        let deadline = Duration::from_millis(100);
        let late = run("sleep 1000 & wait", "", deadline).unwrap_err();
        assert!(matches!(late, ProgramError::Late { .. }), "{late}");
        // A child that stays behind does not keep luod waiting.
        assert_eq!(
            run("sleep 1000 & echo done", "", PATIENCE).unwrap(),
            "done\n"
        );
    }
}
