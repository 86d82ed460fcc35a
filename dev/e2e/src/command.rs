//! A program to run in the guest, and how it ended.

use std::time::Duration;

use e2e_protocol::{Bytes, Exit, Ran, Request};

use crate::error::Error;

/// Time a program has unless it is given another.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A program to run in the guest. From an array of words it runs as root in `/` with no input.
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) argv: Vec<String>,
    env: Vec<(String, String)>,
    cwd: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    stdin: Vec<u8>,
    pub(crate) timeout: Duration,
}

impl<Words, Word> From<Words> for Command
where
    Words: IntoIterator<Item = Word>,
    Word: Into<String>,
{
    fn from(argv: Words) -> Self {
        Self::new(argv)
    }
}

impl Command {
    /// Names program and arguments.
    pub fn new<Word: Into<String>>(argv: impl IntoIterator<Item = Word>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: None,
            uid: None,
            gid: None,
            stdin: Vec::new(),
            timeout: TIMEOUT,
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<String>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// Runs it as this user and group.
    #[must_use]
    pub const fn user(mut self, uid: u32, gid: u32) -> Self {
        self.uid = Some(uid);
        self.gid = Some(gid);
        self
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Kills it after this time instead of one minute.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn run_request(&self) -> Request {
        Request::Run {
            argv: self.argv.clone(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            uid: self.uid,
            gid: self.gid,
            stdin: Bytes(self.stdin.clone()),
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn spawn_request(&self, name: &str) -> Request {
        Request::Spawn {
            name: name.to_owned(),
            argv: self.argv.clone(),
            env: self.env.clone(),
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// How a program ended and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What the agent saw.
    pub ran: Ran,
}

impl Outcome {
    /// Insists on exit code 0.
    ///
    /// # Errors
    /// [`Error::Program`] with both outputs.
    pub fn success(self) -> Result<Self, Error> {
        match self.ran.exit {
            Exit::Code(0) => Ok(self),
            exit => Err(Error::Program {
                output: self.output(),
                argv: self.argv,
                exit,
            }),
        }
    }

    /// Exit code, if it ended by itself.
    #[must_use]
    pub const fn code(&self) -> Option<i32> {
        match self.ran.exit {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) | Exit::TimedOut => None,
        }
    }

    /// Standard output as text.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.ran.stdout.bytes.0).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.ran.stderr.bytes.0).into_owned()
    }

    /// Both outputs, for a message.
    #[must_use]
    pub fn output(&self) -> String {
        let mut text = String::new();
        let streams = [("stdout", self.stdout()), ("stderr", self.stderr())];
        for (name, content) in streams {
            for line in content.lines() {
                text.push_str(&format!("{name}: {line}\n"));
            }
        }
        text
    }
}
