//! What is known of the kernel that runs.

use crate::cmdline::CommandLine;
use crate::shutdown_log::LogFacts;

/// The kernel that runs, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// What `uname -m` says.
    pub machine: String,
    /// Its command line; `None` when it cannot be read.
    pub cmdline: Option<CommandLine>,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Versions it hands over under.
    pub tags: TagsInUse,
    /// Bytes of each scratch area; `None` where the kernel does not show them.
    pub scratch_bytes: Option<Vec<u64>>,
    /// Whether loading a kernel is switched off; `None` when it cannot be read.
    pub is_loading_disabled: Option<bool>,
    /// Loads that are left; `None` without a limit.
    pub loads_left: Option<u32>,
    /// Lockdown; `None` when it cannot be read.
    pub lockdown: Option<Lockdown>,
    /// Whether a kernel must be signed (`CONFIG_KEXEC_SIG_FORCE`); `None` when it is not known.
    pub must_be_signed: Option<bool>,
    /// What becomes of its log.
    pub log: LogFacts,
}

/// Versions a kernel hands over under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagsInUse {
    /// Of the handover.
    pub kho: String,
    /// Of sessions.
    pub luo: String,
    /// Of memfds.
    pub memfd: String,
    /// Whether the running kernel says so itself; else they are those of Linux 7.2 and 7.3.
    pub are_read: bool,
}

impl Default for TagsInUse {
    fn default() -> Self {
        Self {
            kho: kho_abi::kexec_handover::COMPATIBLE.to_owned(),
            luo: kho_abi::luo::COMPATIBLE.to_owned(),
            memfd: kho_abi::memfd::COMPATIBLE.to_owned(),
            are_read: false,
        }
    }
}

/// `/sys/kernel/security/lockdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Nothing is locked down, or the kernel has no lockdown.
    None,
    /// Nobody may change the kernel.
    Integrity,
    /// Nobody may read it either.
    Confidentiality,
}
