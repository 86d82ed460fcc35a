//! What a scenario needs done in the guest that no shipped program does.
//!
//! `bare-kexec` is the jump of the kernel's own live-update tests: load, then jump, with no daemon
//! and no preparation. It is what `luoctl update` is measured beside, and what carries the
//! kernel's test programs from one kernel to the next. The other tasks stand in for the shell and
//! the services that the guest does not have.

mod agent_vm;
mod bare_kexec;
mod block;
mod carry;
mod composed_kexec;
mod content;
mod device;
mod direct;
mod look;
mod memcached;
mod modules;
mod offer;
mod oops;
mod participant;
mod service;
mod stamp;
mod supervised;
mod tree;

/// Prints a line at once: scenarios wait for it.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::print(format_args!($($argument)*))
    };
}
pub(crate) use say;

use std::fmt;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Helper of end-to-end scenarios.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Keep memory over updates by luo-agent's protocol, in a session of its own.
    AgentVm(agent_vm::Arguments),
    /// Load a kernel with `kexec_file_load` and jump to it at once.
    BareKexec(bare_kexec::Arguments),
    /// Load a kernel with a handover from a file, by `kexec_load`, and jump to it at once.
    ComposedKexec(composed_kexec::Arguments),
    /// Jump to the kernel that is loaded.
    Jump,
    /// Retrieve sessions and their files, say what each file is, and preserve all of it again.
    Carry(carry::Arguments),
    /// Say who runs this, then do nothing until a signal ends it.
    Linger,
    /// Keep files without luod: hold the session oneself.
    Direct(direct::Arguments),
    /// Run a program and say when it was done, on the processor's counter.
    Stamp(stamp::RunArguments),
    /// Ask a server until it answers, and say when that was.
    Ask(stamp::AskArguments),
    /// Keep files over updates, as a service does.
    Service(service::Arguments),
    /// Read the first bytes of a file and count the zeroes.
    Count(look::CountArguments),
    /// Load a module of the kernel.
    LoadModule(modules::LoadArguments),
    /// Unload a module of the kernel.
    UnloadModule {
        /// Its name.
        name: String,
    },
    /// Replace bytes of a file.
    Poke(modules::PokeArguments),
    /// Make a file of this many bytes, all of them holes.
    Sparse(look::SparseArguments),
    /// Give a file a second name.
    HardLink(look::HardLinkArguments),
    /// Take a name away.
    Remove(look::RemoveArguments),
    /// Fill memcached, or compare what it has.
    Memcached(memcached::Arguments),
    /// Try to make a session whose name is taken.
    DuplicateSession(device::DuplicateArguments),
    /// Make a file a block device until a signal ends this.
    Loop(block::Arguments),
    /// Say what is on a file system.
    Tree(tree::Arguments),
    /// Keep /dev/liveupdate open until a signal ends it.
    HoldDevice {
        /// Wait until this file is there.
        #[arg(long)]
        after: Option<PathBuf>,
    },
    /// As a service of systemd, keep a file in its store of descriptors.
    InStore,
    /// As a service of systemd with LUOSession=state, keep a file in that session.
    InSession,
    /// Load a kernel for a jump that somebody else does.
    Load {
        /// The kernel image.
        kernel: PathBuf,
    },
    /// Drop the kernel that is loaded for the next jump.
    Unload,
    /// Offer luod and the kernel a file to preserve, and print what each says.
    Offer(offer::Arguments),
    /// Have the kernel stumble over a pointer, once.
    Oops,
    /// As a program of luod's drop-in folder: everything works.
    Prepare,
    /// The same: services stand still.
    Freeze,
    /// The same: nothing came of it.
    Cancel,
    /// The same: in the next kernel.
    Boot,
    /// The same: all is finished.
    Finish,
    /// Make every mistake a program without luod can make, and print what each leads to.
    DirectMistakes,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::AgentVm(arguments) => agent_vm::run(&arguments),
        Task::BareKexec(arguments) => bare_kexec::run(&arguments),
        Task::ComposedKexec(arguments) => composed_kexec::run(&arguments),
        Task::Jump => match kexec_sys::reboot::kexec()? {},
        Task::Carry(arguments) => carry::run(&arguments),
        Task::Direct(arguments) => direct::run(&arguments),
        Task::Stamp(arguments) => stamp::run(&arguments),
        Task::Ask(arguments) => stamp::ask(&arguments),
        Task::Service(arguments) => service::run(&arguments),
        Task::Linger => look::linger(),
        Task::Count(arguments) => look::count(&arguments),
        Task::LoadModule(arguments) => modules::load(&arguments),
        Task::UnloadModule { name } => modules::unload(&name),
        Task::Poke(arguments) => modules::poke(&arguments),
        Task::Sparse(arguments) => look::sparse(&arguments),
        Task::HardLink(arguments) => look::hard_link(&arguments),
        Task::Remove(arguments) => look::remove(&arguments),
        Task::Memcached(arguments) => memcached::run(&arguments),
        Task::DuplicateSession(arguments) => device::duplicate(&arguments),
        Task::HoldDevice { after } => device::hold(after.as_deref()),
        Task::InStore => supervised::in_store(),
        Task::InSession => supervised::in_session(),
        Task::Load { kernel } => bare_kexec::load(&kernel),
        Task::Unload => Ok(kexec_sys::unload()?),
        Task::Loop(arguments) => block::run(&arguments),
        Task::Tree(arguments) => tree::run(&arguments),
        Task::Offer(arguments) => offer::run(&arguments),
        Task::Oops => oops::run(),
        Task::Prepare => participant::answer("prepare"),
        Task::Freeze => participant::answer("freeze"),
        Task::Cancel => participant::answer("cancel"),
        Task::Boot => participant::answer("boot"),
        Task::Finish => participant::answer("finish"),
        Task::DirectMistakes => device::mistakes(),
    }
}

/// A line nobody reads any more is not this program's concern.
fn print(line: fmt::Arguments<'_>) {
    let _unread = writeln!(stdout(), "{line}");
}
