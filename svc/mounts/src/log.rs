//! The log of a context: `read(2)` on its descriptor gives a message at a time (`fs/fsopen.c`,
//! v7.3).

use std::fmt;
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, read};

/// Room for a message at first, and at most: one that does not fit is kept by the kernel, whatever
/// the manual page says.
const FIRST_ROOM: usize = 256;
const MOST_ROOM: usize = 64 << 10;
/// More than the ring of a context holds (8).
const MOST_MESSAGES: usize = 32;

/// A message of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How bad it is.
    pub severity: Severity,
    /// What it says, mostly with the file system in front.
    pub text: String,
}

/// How bad a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `e`.
    Error,
    /// `w`.
    Warning,
    /// `i`, and whatever comes to be.
    Information,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Takes every message out of a context's log.
pub(crate) fn drain(context: BorrowedFd<'_>) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut room = FIRST_ROOM;
    while messages.len() < MOST_MESSAGES {
        let mut bytes = vec![0; room];
        match read(context, &mut bytes[..]) {
            Ok(count) => messages.push(parse(bytes.get(..count).unwrap_or_default())),
            Err(Errno::MSGSIZE) if room < MOST_ROOM => room *= 4,
            Err(Errno::INTR) => {}
            // ENODATA: no more.
            Err(_) => break,
        }
    }
    messages
}

fn parse(bytes: &[u8]) -> Message {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\n');
    let (severity, text) = match text.split_once(' ') {
        Some(("e", text)) => (Severity::Error, text),
        Some(("w", text)) => (Severity::Warning, text),
        Some(("i", text)) => (Severity::Information, text),
        _ => (Severity::Information, text),
    };
    let text = text.to_owned();
    Message { severity, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_severity() {
        let message = parse(b"e tmpfs: Unknown parameter 'x'\n");
        assert_eq!(message.severity, Severity::Error);
        assert_eq!(message.to_string(), "tmpfs: Unknown parameter 'x'");
        assert_eq!(parse(b"").severity, Severity::Information);
    }
}
