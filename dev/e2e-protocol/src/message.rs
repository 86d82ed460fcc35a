//! What is said in either direction.

use serde::{Deserialize, Serialize};

use crate::text::Bytes;

/// Host to guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToGuest {
    /// Ends the repetition of [`ToHost::Hello`].
    Welcome {
        /// [`Hello::boot_id`] of the hello that is answered.
        boot_id: String,
    },
    /// Asks for something.
    Call {
        /// Number of the call, chosen by the host.
        id: u64,
        /// What is asked for.
        request: Request,
    },
}

/// Guest to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToHost {
    /// A kernel has booted and its agent works.
    Hello(Hello),
    /// The answer to one call.
    Reply {
        /// Number of the call.
        id: u64,
        /// The answer.
        reply: Reply,
    },
}

/// Who says hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Release of the running kernel, as `uname -r` prints it.
    pub release: String,
    /// Random, made anew by each boot.
    pub boot_id: String,
    /// What started this kernel.
    pub booted_by: BootedBy,
    /// Time since the kernel started when process 1 began, in milliseconds.
    pub uptime_ms: u64,
    /// The processor's time stamp counter when process 1 began. It runs through a kexec, so two
    /// of these are how long a jump took; absent where there is no such counter.
    pub tsc: Option<u64>,
    /// The kernel's command line.
    pub cmdline: String,
    /// How often the agent's worker was started in this boot: 1, or more after a crash.
    pub worker: u32,
}

/// What started the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootedBy {
    /// The virtual machine's own loader.
    Machine,
    /// A kernel before it, through kexec.
    Kexec,
}

/// What the host can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Runs a program to its end: [`Reply::Ran`].
    Run {
        /// Program and arguments.
        argv: Vec<String>,
        /// Variables beside the agent's own.
        env: Vec<(String, String)>,
        /// Working folder; the root if absent.
        cwd: Option<String>,
        /// User id; root if absent.
        uid: Option<u32>,
        /// Group id; root if absent.
        gid: Option<u32>,
        /// What the program reads from its input.
        stdin: Bytes,
        /// The program's group is killed after this many milliseconds.
        timeout_ms: u64,
    },
    /// Starts a service: [`Reply::Spawned`]. Its output goes to [`crate::LOG_FOLDER`] and to the
    /// agent log.
    Spawn {
        /// Name for the later requests and of the log file.
        name: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// Variables beside the agent's own.
        env: Vec<(String, String)>,
        /// User id; root if absent.
        uid: Option<u32>,
        /// Group id; root if absent.
        gid: Option<u32>,
    },
    /// Sends a signal: [`Reply::Done`].
    Signal {
        /// To whom.
        target: Target,
        /// Number of the signal.
        signal: i32,
    },
    /// Waits for the end of a service: [`Reply::Ended`].
    Wait {
        /// The service.
        name: String,
        /// Longest wait in milliseconds.
        timeout_ms: u64,
    },
    /// Reads a file: [`Reply::File`].
    ReadFile {
        /// Absolute path.
        path: String,
        /// First byte.
        offset: u64,
        /// Most bytes, at most [`crate::FILE_CHUNK`].
        max: u64,
    },
    /// Writes part of a file, which is made if absent: [`Reply::Done`].
    WriteFile {
        /// Absolute path.
        path: String,
        /// Permission bits of a new file.
        mode: u32,
        /// Where the bytes go; 0 also empties the file first.
        offset: u64,
        /// The content.
        bytes: Bytes,
    },
    /// Gives the kernel log and every service log: [`Reply::Logs`].
    CollectLogs,
    /// Switches the machine off: [`Reply::Done`], then the end.
    Poweroff,
}

/// Who gets a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A service by name.
    Service(String),
    /// A process by its id.
    Pid(u32),
}

/// Answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The program ended.
    Ran(Ran),
    /// The service runs.
    Spawned {
        /// Its process id.
        pid: u32,
    },
    /// Done, with nothing to say.
    Done,
    /// What became of the service; `None` if it still runs.
    Ended(Option<Exit>),
    /// Part of a file.
    File {
        /// The content; shorter than asked for at the file's end.
        bytes: Bytes,
    },
    /// Kept logs.
    Logs(Vec<KeptLog>),
    /// The request was not fulfilled.
    Failed {
        /// Why, with what was tried.
        message: String,
    },
}

/// How a program ended and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// From start to end, in milliseconds.
    pub elapsed_ms: u64,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Killed by the agent, because the time given was over.
    TimedOut,
}

/// The first bytes of an output stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// At most [`crate::OUTPUT_LIMIT`] bytes.
    pub bytes: Bytes,
    /// Whether more was written than is here.
    pub is_truncated: bool,
}

/// One log of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLog {
    /// `kernel`, or the name of a service.
    pub name: String,
    /// The last [`crate::OUTPUT_LIMIT`] bytes at most.
    pub bytes: Bytes,
}

/// A service that the agent starts at boot, before the host has said a word: so that what a test
/// measures across a kexec holds no round trip to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autostart {
    /// Name of the service.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables beside the agent's own; none if absent.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// User id; root if absent.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group id; root if absent.
    #[serde(default)]
    pub gid: Option<u32>,
    /// At which boots.
    pub when: When,
}

/// Boots at which a service starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At every boot.
    Always,
    /// At the boot by the machine only.
    FirstBoot,
    /// At boots through kexec only.
    AfterKexec,
}

impl When {
    /// Whether a boot by `booted_by` is one of these.
    #[must_use]
    pub const fn includes(self, booted_by: BootedBy) -> bool {
        matches!(
            (self, booted_by),
            (Self::Always, _)
                | (Self::FirstBoot, BootedBy::Machine)
                | (Self::AfterKexec, BootedBy::Kexec)
        )
    }
}
