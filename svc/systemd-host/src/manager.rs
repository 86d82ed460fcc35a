//! systemd over Varlink: the jump, and how many it has come through.

use std::path::Path;
use std::process::Command;

use live_varlink::{CallError, Client, WireError};
use serde_json::{Value, json};
use zbus::blocking::{Connection, Proxy};

use crate::error::Error;

const DESTINATION: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const MANAGER_SOCKET: &str = "/run/systemd/io.systemd.Manager";
const DESCRIBE: &str = "io.systemd.Manager.Describe";
const LOGIN_SOCKET: &str = "/run/systemd/io.systemd.Login";
const KEXEC: &str = "io.systemd.Shutdown.KExec";

/// The first systemd that carries descriptor stores over a kexec.
pub const FIRST_WITH_STORES: u32 = 261;

/// The number of systemd's version: 262 of `262.1-1`.
///
/// # Errors
/// [`Error::Bus`]: systemd does not answer on the bus; [`Error::Missing`]: what it answers has no number.
pub fn version() -> Result<u32, Error> {
    let text = bus_version()?;
    number_of(&text).ok_or(Error::Missing {
        method: "Version",
        field: "number",
    })
}

fn bus_version() -> Result<String, Error> {
    let proxy = Connection::system().and_then(|bus| Proxy::new(&bus, DESTINATION, PATH, INTERFACE));
    let version = proxy.and_then(|proxy| proxy.get_property("Version"));
    version.map_err(|source| Error::Bus {
        what: "its version",
        source: Box::new(source),
    })
}

fn number_of(version: &str) -> Option<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit());
    let (digits, _) = version.split_at(end.unwrap_or(version.len()));
    digits.parse().ok()
}

/// How many kexecs systemd has handed descriptor stores over since the cold boot: 0 again when one lost them all.
///
/// # Errors
/// systemd does not answer, or is older than 262.
pub fn kexec_count() -> Result<u64, Error> {
    let mut client = connect(MANAGER_SOCKET, DESCRIBE)?;
    let answer: Result<(Value, _), _> = client.call(DESCRIBE, &json!({}), &[]);
    let (answer, _) = answer.map_err(|error| refused(DESCRIBE, error))?;
    let count = answer
        .get("runtime")
        .and_then(|runtime| runtime.get("KExecCount"));
    count.and_then(Value::as_u64).ok_or(Error::Missing {
        method: DESCRIBE,
        field: "KExecCount",
    })
}

/// Has systemd end everything and jump to the kernel that is loaded, as `systemctl kexec` does: returns when that has
/// begun. Locks of logind are honoured, also those of root.
///
/// # Errors
/// [`Error::Blocked`] says by whom; else [`Error::UnderWay`], [`Error::Call`].
pub fn start_next_kernel() -> Result<(), Error> {
    let answer = connect(LOGIN_SOCKET, KEXEC)?.call::<Value>(KEXEC, &json!({}), &[]);
    match answer {
        Ok(_) => Ok(()),
        // Of systemd 261, whose logind has no such interface.
        Err(CallError::Refused { name, .. }) if name.starts_with("org.varlink.service.") => {
            run_systemctl()
        }
        Err(error) => Err(refused(KEXEC, error)),
    }
}

fn run_systemctl() -> Result<(), Error> {
    let call = |source: std::io::Error| Error::Call {
        method: "systemctl kexec",
        source: Box::new(CallError::Wire(WireError::Io(source))),
    };
    let output = Command::new("systemctl")
        .args(["kexec", "--no-wall", "--check-inhibitors=yes"])
        .output()
        .map_err(call)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(call(std::io::Error::other(said.trim().to_owned())))
}

fn connect(socket: &str, method: &'static str) -> Result<Client, Error> {
    Client::connect(Path::new(socket)).map_err(|error| refused(method, error.into()))
}

fn refused(method: &'static str, error: CallError) -> Error {
    if let CallError::Refused { name, parameters } = &error {
        let text = |field: &str, otherwise: &str| {
            let text = parameters.get(field).and_then(Value::as_str);
            text.unwrap_or(otherwise).to_owned()
        };
        match name.as_str() {
            "io.systemd.Shutdown.BlockedByInhibitor" => {
                return Error::Blocked {
                    who: text("who", "somebody"),
                    why: text("why", "no reason given"),
                };
            }
            "io.systemd.Shutdown.AlreadyInProgress" => return Error::UnderWay,
            _ => {}
        }
    }
    Error::Call {
        method,
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_their_number() {
        for (text, number) in [
            ("262.1-1", Some(262)),
            ("257", Some(257)),
            ("261~rc2", Some(261)),
            ("v262", None),
            ("", None),
        ] {
            assert_eq!(number_of(text), number, "{text}");
        }
    }

    #[test]
    fn a_lock_is_told_with_its_owner_and_reason() {
        let error = |parameters| CallError::Refused {
            name: "io.systemd.Shutdown.BlockedByInhibitor".to_owned(),
            parameters,
        };
        let full = refused(KEXEC, error(json!({ "who": "backup", "why": "copying" })));
        assert_eq!(full.to_string(), "backup blocks it: copying");
        let empty = refused(KEXEC, error(Value::Null));
        assert_eq!(empty.to_string(), "somebody blocks it: no reason given");
    }
}
