//! Refusals: what `luod` answers instead of a result.

use std::fmt;

use live_varlink::CallError;
use serde::{Deserialize, Serialize};

/// Kinds of refusals. Each is an error of the Varlink interface `io.liveupdate` and an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// Something the caller did not expect and cannot mend.
    Internal,
    /// The parameters are wrong.
    InvalidParameter,
    /// The caller may not do this.
    PermissionDenied,
    /// No `/dev/liveupdate`, or it cannot be used.
    NoLiveUpdate,
    /// Another program keeps `/dev/liveupdate` open.
    DeviceBusy,
    /// The next kernel, its initrd or its command line was refused.
    ImageRefused,
    /// Not in this phase.
    WrongPhase,
    /// The last update is not finished.
    Unfinished,
    /// A service refused, ended or was too slow: the update was cancelled.
    Cancelled,
    /// A descriptor cannot be preserved.
    NotPreservable,
    /// The name is taken by another program or another user.
    NameTaken,
    /// No such service or item.
    NotFound,
    /// Items that came over were not retrieved: finishing would lose them.
    NotRetrieved,
    /// The kernel refused a call.
    Kernel,
    /// What the previous kernel handed over cannot be read.
    HandoverUnreadable,
    /// A limit was reached.
    LimitReached,
}

/// Name and exit code of each kind, in one table.
const CODES: [(Code, &str, u8); 16] = [
    (Code::Internal, "Internal", 1),
    (Code::InvalidParameter, "InvalidParameter", 2),
    (Code::PermissionDenied, "PermissionDenied", 4),
    (Code::NoLiveUpdate, "NoLiveUpdate", 5),
    (Code::DeviceBusy, "DeviceBusy", 6),
    (Code::ImageRefused, "ImageRefused", 7),
    (Code::WrongPhase, "WrongPhase", 8),
    (Code::Unfinished, "Unfinished", 9),
    (Code::Cancelled, "Cancelled", 10),
    (Code::NotPreservable, "NotPreservable", 12),
    (Code::NameTaken, "NameTaken", 13),
    (Code::NotFound, "NotFound", 14),
    (Code::NotRetrieved, "NotRetrieved", 15),
    (Code::Kernel, "Kernel", 16),
    (Code::HandoverUnreadable, "HandoverUnreadable", 17),
    (Code::LimitReached, "LimitReached", 18),
];

impl Code {
    fn row(self) -> &'static (Self, &'static str, u8) {
        CODES.iter().find(|row| row.0 == self).unwrap_or(&CODES[0])
    }

    /// The name on the wire, without the interface.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The exit code of `luoctl`. 0 is success, 3 says `luod` does not answer, 11 that the report
    /// names a loss.
    pub fn exit_code(self) -> u8 {
        self.row().2
    }

    /// The full name of the Varlink error of `interface`.
    pub fn error_name(self, interface: &str) -> String {
        format!("{interface}.{}", self.name())
    }

    /// The kind with this full name, whatever the interface.
    pub fn from_error_name(full: &str) -> Option<Self> {
        let name = full.rsplit('.').next()?;
        CODES.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

/// A refusal: its kind, what happened, what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind.
    pub code: Code,
    /// What happened; reads after "error: ".
    pub message: String,
    /// What to do about it; empty when there is nothing to say.
    pub hint: String,
}

/// The parameters of a refusal on the wire.
#[derive(Serialize, Deserialize)]
struct Parameters {
    #[serde(default)]
    message: String,
    #[serde(default)]
    hint: String,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
            hint: String::new(),
        }
    }

    /// The same with a hint what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = hint.to_string();
        self
    }

    /// Its parameters on the wire.
    pub fn parameters(&self) -> serde_json::Value {
        serde_json::json!({ "message": self.message, "hint": self.hint })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.hint.is_empty() {
            Ok(())
        } else {
            write!(f, "; {}", self.hint)
        }
    }
}

impl std::error::Error for Refusal {}

/// A failed call to `luod`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// `luod` refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection failed, or what came back cannot be understood.
    #[error("luod did not answer")]
    Connection(#[source] CallError),
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let CallError::Refused { name, parameters } = &error else {
            return Self::Connection(error);
        };
        let Some(code) = Code::from_error_name(name) else {
            return Self::Connection(error);
        };
        match serde_json::from_value(parameters.clone()) {
            Ok(Parameters { message, hint }) => Self::Refused(Refusal {
                code,
                message,
                hint,
            }),
            Err(_error) => Self::Connection(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_name_and_exit_code() {
        for (index, (code, name, exit)) in CODES.iter().enumerate() {
            assert_eq!((code.name(), code.exit_code()), (*name, *exit));
            assert!(
                ![0, 3, 11].contains(exit),
                "{name} has a reserved exit code"
            );
            let unique = |other: &(Code, &str, u8)| other.1 != *name && other.2 != *exit;
            assert!(CODES[index + 1..].iter().all(unique), "{name}");
        }
    }

    #[test]
    fn a_refusal_survives_the_wire() {
        let sent = Refusal::new(Code::NameTaken, "taken").with_hint("choose another");
        let error = CallError::Refused {
            name: sent.code.error_name("io.liveupdate.Service"),
            parameters: sent.parameters(),
        };
        let ApiError::Refused(received) = ApiError::from(error) else {
            panic!("no refusal")
        };
        assert_eq!(received, sent);
    }

    #[test]
    fn each_error_is_declared_in_the_interfaces() {
        for interface in crate::INTERFACES {
            let declared = |name: &str| {
                interface
                    .description
                    .contains(&format!("error {name} (message: string, hint: string)"))
            };
            assert!(
                CODES.iter().all(|row| declared(row.1)),
                "{}",
                interface.name
            );
        }
    }
}
