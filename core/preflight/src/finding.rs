//! What a check found.

use serde::{Serialize, Serializer};

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Check {
    /// The file is a kernel that `kexec_file_load` takes on this machine.
    Image,
    /// The version of the handover.
    KhoTag,
    /// The version of sessions.
    LuoTag,
    /// The version of memfds.
    MemfdTag,
    /// Pages of the same size.
    PageSize,
    /// The next kernel shows `/dev/liveupdate`.
    LiveUpdate,
    /// The next kernel takes a handover.
    Kho,
    /// Regions of `reserve_mem=` are named again, as they are.
    ReserveMem,
    /// The log that this kernel keeps for the next one is kept by it too.
    ShutdownLog,
    /// Sizes of scratch on the command line.
    ScratchSize,
    /// The command line is not too long.
    CommandLine,
    /// The next kernel unpacks its initial RAM disk and has a program to start.
    Initrd,
    /// Kernel and initial RAM disk fit in scratch.
    Scratch,
    /// Loading is allowed, and often enough to cancel.
    LoadLimit,
    /// Lockdown and signatures.
    Signature,
}

impl Check {
    /// All, in the order they are shown.
    pub const ALL: [Self; 15] = [
        Self::Image,
        Self::KhoTag,
        Self::LuoTag,
        Self::MemfdTag,
        Self::PageSize,
        Self::LiveUpdate,
        Self::Kho,
        Self::ReserveMem,
        Self::ShutdownLog,
        Self::ScratchSize,
        Self::CommandLine,
        Self::Initrd,
        Self::Scratch,
        Self::LoadLimit,
        Self::Signature,
    ];

    /// Its name, as `--force` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::KhoTag => "kho-tag",
            Self::LuoTag => "luo-tag",
            Self::MemfdTag => "memfd-tag",
            Self::PageSize => "page-size",
            Self::LiveUpdate => "liveupdate",
            Self::Kho => "kho",
            Self::ReserveMem => "reserve-mem",
            Self::ShutdownLog => "shutdown-log",
            Self::ScratchSize => "scratch-size",
            Self::CommandLine => "command-line",
            Self::Initrd => "initrd",
            Self::Scratch => "scratch",
            Self::LoadLimit => "load-limit",
            Self::Signature => "signature",
        }
    }

    /// The check of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }

    /// Whether not to know is as bad as a mismatch: what is preserved would be lost without a word.
    pub const fn must_be_known(self) -> bool {
        matches!(
            self,
            Self::Image | Self::KhoTag | Self::LuoTag | Self::MemfdTag
        )
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// It cannot be found out.
    Unknown,
    /// Not as it must be.
    Refused,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding<C = Check> {
    /// What was checked.
    pub check: C,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found, and what comes of it.
    pub message: String,
    /// What to do about it; empty when there is nothing to do.
    pub hint: String,
}

impl<C> Finding<C> {
    pub(crate) fn ok(check: C, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, message)
    }

    pub(crate) fn unknown(check: C, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, message)
    }

    pub(crate) fn refused(check: C, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Refused, message)
    }

    fn new(check: C, verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            message: message.into(),
            hint: String::new(),
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl Finding {
    /// Whether an update must not go on, unless it is forced.
    pub fn stops(&self) -> bool {
        match self.verdict {
            Verdict::Ok => false,
            Verdict::Unknown => self.check.must_be_known(),
            Verdict::Refused => true,
        }
    }
}
