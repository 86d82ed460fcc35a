//! The engine of `luod`.
//!
//! * [`Engine`] holds the [journal](update::Journal) and answers both interfaces of
//!   [`luod_api`]; one file per group of methods.
//! * [`Keeper`] has every descriptor twice: in this process and in the [`holder`], a process of its
//!   own that outlives it, or in systemd's store. Nothing is answered before both have it.
//! * [`Host`] is the kernel as the engine sees it; [`LinuxHost`] is the real one, with or without a
//!   [`ServiceManager`] that carries out the jump.
//!
//! What happens on each side of a jump: [`Engine`]'s `prepare`, `execute` and `recover`.

mod attach;
mod cancel;
mod engine;
mod events;
mod execute;
mod facts;
#[cfg(test)]
mod fake;
mod finish;
mod guard;
mod history;
pub mod holder;
mod host;
mod journal_file;
mod json_lines;
mod keep;
mod keeper;
mod last_words;
mod limits;
mod linux;
mod luo_agent;
mod mailbox;
mod manage;
mod next_kernel;
mod own_session;
mod participate;
mod prepare;
mod preservable;
mod previous_log;
mod programs;
mod recover;
mod refusals;
mod sealed;
mod service_manager;
mod shadow;
mod shutdown;
mod state;
#[cfg(test)]
mod tests;
mod wire;

pub use engine::{Engine, StartError};
pub use facts::KernelFacts;
pub use guard::Guard;
pub use history::History;
pub use host::{Host, LoadRequest, UpdateId};
pub use keeper::{Keeper, KeeperError};
pub use last_words::{Gravity, LastWords, tell};
pub use limits::{Limits, LimitsError, UserLimits};
pub use linux::{LinuxHost, check_device};
pub use luo_agent::{Command, CommandLines, Feature, serve_luo_agent};
pub use next_kernel::{NextKernel, ReloadError};
pub use programs::Programs;
pub use service_manager::ServiceManager;
pub use shutdown::Ending;
pub use wire::{SERVER_INFO, Wire};
