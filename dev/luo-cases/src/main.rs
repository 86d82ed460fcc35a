//! What `/dev/liveupdate` answers to everything a program can do, one line for each case.
//!
//! The same program runs on an emulated machine and on a real kernel; both must print the same
//! lines, which are in `expected/`. `before` and `lifetimes` need one kernel; `leave` preserves
//! files, `kexec` jumps, and `after` looks at them in the next kernel.

mod after;
mod args;
mod before;
mod lifetimes;
mod report;
mod states;
mod threads;

use std::fs::File;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Cases of /dev/liveupdate.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// All cases of one kernel.
    Before,
    /// Preserves what `after` looks at; a process stays behind that holds it.
    Leave,
    /// As `leave`, with a file that grew after it was preserved.
    LeaveGrown,
    /// All cases of what was handed over.
    After,
    /// The states of the v4 dialect, up to the jump.
    Prepare,
    /// The states of the v4 dialect after it.
    Updated,
    /// Lifetimes of descriptors.
    Lifetimes,
    /// Does nothing until a signal ends it.
    Sleep,
    /// Sessions and files from several threads at once.
    Threads {
        /// How many.
        threads: usize,
    },
    /// Loads the file given as a kernel and jumps to it.
    Kexec {
        /// Kernel to load.
        kernel: PathBuf,
    },
    /// How long a call takes, in microseconds.
    Time {
        /// How many calls.
        #[arg(default_value_t = 20_000)]
        calls: u32,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Before => before::run(),
        Task::Leave => lifetimes::keep(&after::leave()?),
        Task::LeaveGrown => lifetimes::keep(&after::leave_grown()?),
        Task::After => after::run(),
        Task::Prepare => lifetimes::keep(&states::prepare()?),
        Task::Updated => states::updated(),
        Task::Lifetimes => lifetimes::run(),
        Task::Sleep => sleep(),
        Task::Threads { threads } => threads::run(threads),
        Task::Kexec { kernel } => kexec(&kernel),
        Task::Time { calls } => threads::time(calls),
    }
}

fn sleep() -> anyhow::Result<()> {
    report::line("sleeping", "ok");
    loop {
        thread::sleep(Duration::from_secs(1000));
    }
}

fn kexec(kernel: &PathBuf) -> anyhow::Result<()> {
    let file = File::open(kernel).with_context(|| format!("open {}", kernel.display()))?;
    kexec_sys::load(&file, None, c"from luo-cases")?;
    match kexec_sys::reboot::kexec()? {}
}
