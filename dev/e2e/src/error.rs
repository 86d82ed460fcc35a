//! What can go wrong with a machine, told apart by who failed.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use e2e_protocol::{Exit, Reply};

/// A failure of the machine, of the conversation, or of a program in the guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or socket of the host.
    #[error("cannot {action} {}", path.display())]
    Host {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// QEMU did not start.
    #[error("cannot start {program}: install the package qemu-system-x86")]
    NoQemu {
        /// The program that was tried.
        program: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The guest's kernel panicked.
    #[error("the guest's kernel panicked: {line}")]
    KernelPanic {
        /// The panic line of the serial log.
        line: String,
    },
    /// QEMU ended without a panic of the guest.
    #[error("QEMU ended ({status}) without a panic of the guest; its last words: {stderr}")]
    QemuEnded {
        /// How it ended.
        status: ExitStatus,
        /// End of its standard error.
        stderr: String,
    },
    /// `luo-emu` ended without a panic of the emulated kernel.
    #[error("luo-emu ended ({status}) without a kernel panic; its last words: {stderr}")]
    LuoEmuEnded {
        /// How it ended.
        status: ExitStatus,
        /// End of its standard error.
        stderr: String,
    },
    /// An emulated machine has no processor to take hold of.
    #[error("an emulated machine has no debugger: boot a real kernel")]
    NoDebugger,
    /// The machine runs, but the control channel was closed.
    #[error("the control channel closed while the machine runs: {reason}")]
    ChannelClosed {
        /// What reading said last.
        reason: String,
    },
    /// Nothing happened in time.
    #[error("{what} did not happen within {}.{:03} s", waited.as_secs(), waited.subsec_millis())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// The machine booted anew while an answer was waited for.
    #[error("the machine booted anew (now {release}) instead of answering to {what}")]
    Rebooted {
        /// Release of the kernel that runs now.
        release: String,
        /// What was asked for.
        what: String,
    },
    /// The agent's worker ended, and a new one works under the same kernel.
    #[error("the agent's worker ended instead of answering to {what}; worker {worker} runs now")]
    AgentRestarted {
        /// Number of the new worker.
        worker: u32,
        /// What was asked for.
        what: String,
    },
    /// A program that should have jumped to the next kernel came back.
    #[error("no jump to the next kernel: {argv:?} came back: {ended}")]
    NoJump {
        /// The program.
        argv: Vec<String>,
        /// How it ended and what it wrote.
        ended: String,
    },
    /// The agent could not do what was asked.
    #[error("the agent cannot {what}: {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The agent's reason.
        message: String,
    },
    /// The agent's answer belongs to another question.
    #[error("the agent answered {what} with {reply:?}")]
    WrongReply {
        /// What was asked for.
        what: String,
        /// The answer.
        reply: Reply,
    },
    /// A program did not end with code 0.
    #[error("{argv:?} ended with {exit:?}\n{output}")]
    Program {
        /// Program and arguments.
        argv: Vec<String>,
        /// How it ended.
        exit: Exit,
        /// Both outputs, each marked.
        output: String,
    },
}

impl Error {
    /// Shapes an I/O error of the host.
    pub(crate) fn host(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Host {
            action,
            path,
            source,
        }
    }
}
