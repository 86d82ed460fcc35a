//! The process that is a machine: QEMU or `luo-emu`.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::error::Error;
use crate::logs;
use crate::luo_emu::LuoEmu;
use crate::qemu::Qemu;

/// Lines of its last words in an error.
const LAST_LINES: usize = 5;

/// A machine's process; killed when dropped.
#[derive(Debug)]
pub(crate) enum Carrier {
    Qemu(Qemu),
    LuoEmu(LuoEmu),
}

impl Carrier {
    /// Waits for its end; `None` if `patience` was not enough.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        match self {
            Self::Qemu(qemu) => qemu.wait(patience),
            Self::LuoEmu(machine) => machine.wait(patience),
        }
    }

    /// The line with which the kernel panicked, if it did.
    pub(crate) fn panic_line(&self) -> Option<String> {
        match self {
            Self::Qemu(qemu) => logs::panic_line(&qemu.serial_log()),
            Self::LuoEmu(machine) => logs::emulated_panic_line(&machine.own_log()),
        }
    }

    /// The error when it ended by itself, without a panic.
    pub(crate) fn ended(&self, status: ExitStatus) -> Error {
        match self {
            Self::Qemu(qemu) => Error::QemuEnded {
                status,
                stderr: logs::tail(&qemu.own_log(), LAST_LINES),
            },
            Self::LuoEmu(machine) => Error::LuoEmuEnded {
                status,
                stderr: logs::tail(&machine.own_log(), LAST_LINES),
            },
        }
    }

    /// The sockets of the gdb stub and of the machine protocol.
    pub(crate) fn debugger(&self) -> Result<(PathBuf, PathBuf), Error> {
        match self {
            Self::Qemu(qemu) => Ok((qemu.stub(), qemu.monitor())),
            Self::LuoEmu(_) => Err(Error::NoDebugger),
        }
    }
}
