//! What happens on the machine, for whoever watches.

use std::fmt;
use std::path::Path;

use kho::PhysAddr;
use luo::Errno;

use crate::files::Grown;
use crate::inject::{CallName, Effect, Part};

/// Something that happened in a generation.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The kernel is up and its program starts.
    Started {
        /// What it is called.
        release: &'a str,
        /// Kexecs since the machine was switched on.
        kexec_count: u32,
    },
    /// There was a handover, and it is lost.
    Refused(&'a kho::BootError),
    /// An image was loaded.
    Loaded,
    /// A preserved file is larger than when it was preserved.
    Grown(&'a Grown),
    /// The jump did not take place.
    NotFrozen(Errno),
    /// The jump.
    Jump {
        /// Sessions that go along.
        sessions: usize,
        /// Files in them.
        files: usize,
    },
    /// The memory was saved after the jump.
    Saved {
        /// Where.
        path: &'a Path,
        /// Address of the root FDT of the handover.
        fdt: Option<PhysAddr>,
    },
    /// A jump without a kernel to receive anything: a restart.
    Restart,
    /// The machine is switched off.
    PowerOff,
    /// A call was changed on purpose.
    Injected {
        /// Which call.
        call: CallName,
        /// What was done to it.
        effect: &'a Effect,
    },
    /// There is no such part of the handover to be damaged.
    NothingToCorrupt(Part),
    /// A session could not be finished at its last close: it is out of reach until the next kexec.
    NotFinished(Errno),
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                release,
                kexec_count,
            } => write!(f, "kernel {release} is up, after {kexec_count} kexecs"),
            Self::Refused(why) => write!(
                f,
                "the handover cannot be received, everything in it is lost: {why}"
            ),
            Self::Loaded => f.write_str("an image is loaded"),
            Self::Grown(grown) => write!(
                f,
                "a preserved file grew from {} to {} bytes; Linux refuses that with EPERM, and the first {} bytes are handed over",
                grown.from_bytes, grown.to_bytes, grown.from_bytes
            ),
            Self::NotFrozen(errno) => {
                write!(f, "no jump: freezing failed with {errno}; all is as before")
            }
            Self::Jump { sessions, files } => {
                write!(f, "kexec with {sessions} sessions and {files} files")
            }
            Self::Saved { path, fdt } => {
                write!(f, "memory is in {}", path.display())?;
                match fdt {
                    Some(fdt) => write!(f, ", the root FDT at {fdt}"),
                    None => Ok(()),
                }
            }
            Self::Restart => f.write_str("restart; nothing is handed over"),
            Self::PowerOff => f.write_str("power off"),
            Self::Injected { call, effect } => match effect {
                Effect::Fail(errno) => write!(f, "{call} fails with {errno}, as asked for"),
                Effect::Stall(time) => {
                    write!(f, "{call} waits {} ms, as asked for", time.as_millis())
                }
                Effect::Corrupt(part) => {
                    write!(f, "{call} damages {part} of the handover, as asked for")
                }
            },
            Self::NothingToCorrupt(part) => {
                write!(f, "there is no {part} in the handover to be damaged")
            }
            Self::NotFinished(errno) => write!(
                f,
                "a session was closed that cannot be finished ({errno}); it is out of reach until the next kexec"
            ),
        }
    }
}

/// Is told what happens.
pub trait Observer {
    /// Something happened in a generation; they are counted from 1.
    fn event(&self, generation: u32, event: &Event<'_>);
}
