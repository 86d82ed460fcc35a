//! Why a machine fell silent.

use std::time::Duration;

use crate::carrier::Carrier;
use crate::control::Lost;
use crate::error::Error;

/// A machine whose channel is closed has mostly ended or is about to.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Turns a lost answer into an error that names who failed.
pub(crate) fn explain(carrier: &mut Carrier, lost: Lost, what: &str, waited: Duration) -> Error {
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
        Lost::Closed(reason) => closed(carrier, reason),
        Lost::Deadline => match carrier.panic_line() {
            Some(line) => Error::KernelPanic { line },
            None => Error::Deadline { what, waited },
        },
    }
}

/// Tells why a channel closed: a panic of the guest, the end of its process, or neither.
pub(crate) fn closed(carrier: &mut Carrier, reason: String) -> Error {
    let status = carrier.wait(END_PATIENCE);
    if let Some(line) = carrier.panic_line() {
        return Error::KernelPanic { line };
    }
    match status {
        Some(status) => carrier.ended(status),
        None => Error::ChannelClosed { reason },
    }
}
