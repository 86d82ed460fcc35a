//! Why a machine fell silent.

use std::time::Duration;

use crate::control::Lost;
use crate::error::Error;
use crate::logs;
use crate::qemu::Qemu;

/// A machine whose channel is closed has mostly ended or is about to.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Turns a lost answer into an error that names who failed.
pub(crate) fn explain(qemu: &mut Qemu, lost: Lost, what: &str, waited: Duration) -> Error {
    let what = what.to_owned();
    match lost {
        Lost::Rebooted(hello) => Error::Rebooted {
            release: hello.release,
            what,
        },
        Lost::AgentRestarted(hello) => Error::AgentRestarted {
            worker: hello.worker,
            what,
        },
        Lost::Closed(reason) => closed(qemu, reason),
        Lost::Deadline => match logs::panic_line(&qemu.serial_log()) {
            Some(line) => Error::KernelPanic { line },
            None => Error::Deadline { what, waited },
        },
    }
}

/// Tells why a channel closed: a panic of the guest, the end of QEMU, or neither.
pub(crate) fn closed(qemu: &mut Qemu, reason: String) -> Error {
    let status = qemu.wait(END_PATIENCE);
    if let Some(line) = logs::panic_line(&qemu.serial_log()) {
        return Error::KernelPanic { line };
    }
    match status {
        Some(status) => Error::QemuEnded {
            status,
            stderr: logs::tail(&qemu.own_log(), 5),
        },
        None => Error::ChannelClosed { reason },
    }
}
