//! The kernel's log: a line into it, and its content.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _, stderr};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The kernel log's device.
const DEVICE: &str = "/dev/kmsg";

/// Longest record that a read gives (`PRINTK_MESSAGE_MAX`, `kernel/printk/internal.h`, v7.3).
const RECORD_MAX: usize = 2048;

/// Puts a line into the kernel log, from where the serial console gets it. For what must be seen
/// even when the control channel does not work; there is nobody to tell if this fails. On an emulated
/// machine, whose kernel log would be the host's, it goes to standard error.
pub(crate) fn write(line: &str) {
    if let Ok(mut device) = fs::OpenOptions::new().write(true).open(DEVICE) {
        // Level 3 (error): shown on the console under `quiet`, too.
        let _nobody_to_tell = device.write_all(format!("<3>e2e-agent: {line}\n").as_bytes());
    } else {
        let _nobody_to_tell = writeln!(stderr(), "e2e-agent: {line}");
    }
}

/// Reads the whole kernel log as lines of `[seconds] message`; empty where there is none.
pub(crate) fn read() -> anyhow::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut device = match rustix::fs::open(DEVICE, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        opened => File::from(opened?),
    };
    let mut log = Vec::new();
    let mut record = [0; RECORD_MAX * 2];
    loop {
        match device.read(&mut record) {
            Ok(len) => push_record(record.get(..len).unwrap_or_default(), &mut log),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(log),
            // The record was overwritten while we read: the next read gives the oldest kept.
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Turns `level,sequence,microseconds,flags;message` into a line
/// (`Documentation/ABI/testing/dev-kmsg`).
fn push_record(record: &[u8], log: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(record);
    let (prefix, rest) = text.split_once(';').unwrap_or(("", &text));
    let time_us: u64 = prefix
        .split(',')
        .nth(2)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0);
    let message = rest.lines().next().unwrap_or_default();
    let (seconds, micros) = (time_us / 1_000_000, time_us % 1_000_000);
    log.extend_from_slice(format!("[{seconds:5}.{micros:06}] {message}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_becomes_a_line_without_its_properties() {
        let mut log = Vec::new();
        push_record(b"6,339,5140900,-;NET: a;b\n SUBSYSTEM=net\n", &mut log);
        push_record(b"torn", &mut log);
        assert_eq!(log, b"[    5.140900] NET: a;b\n[    0.000000] torn\n");
    }
}
