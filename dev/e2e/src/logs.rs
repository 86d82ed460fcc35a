//! Kept logs: tails for errors, and the report of a failed scenario.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Most bytes read from the end of a log.
const TAIL_BYTES: u64 = 256 << 10;

/// What the kernel prints first when it panics (`kernel/panic.c`, v7.3).
const PANIC: &str = "Kernel panic - not syncing";

/// What `luo-emu` says instead (`svc/emulator/src/machine.rs`).
const EMULATED_PANIC: &str = "kernel panic in generation";

/// The last `count` lines of a log; empty if there is no such file.
#[must_use]
pub fn tail(path: &Path, count: usize) -> String {
    let text = end_of(path);
    let lines: Vec<_> = text.lines().collect();
    let start = lines.len().saturating_sub(count);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// The line with which a kernel panicked, if the serial log has one.
#[must_use]
pub fn panic_line(serial: &Path) -> Option<String> {
    let text = end_of(serial);
    let line = text.lines().find(|line| line.contains(PANIC))?;
    Some(line.trim().to_owned())
}

/// The line with which `luo-emu` tells of a panic, if its log has one.
#[must_use]
pub fn emulated_panic_line(log: &Path) -> Option<String> {
    let text = end_of(log);
    let line = text.lines().find(|line| line.contains(EMULATED_PANIC))?;
    Some(line.trim().to_owned())
}

/// The ends of all logs in a machine's folder, each under its name.
#[must_use]
pub fn report(folder: &Path, lines_each: usize) -> String {
    let mut text = format!("full logs: {}\n", folder.display());
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect());
    let mut entries: Vec<_> = entries.unwrap_or_default();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_log = name == "command" || name.ends_with(".log");
        let end = tail(&entry.path(), lines_each);
        if is_log && !end.is_empty() {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "---- {name} (last lines)\n{end}");
        }
    }
    text
}

fn end_of(path: &Path) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    // The serial console ends its lines with CR LF and may carry control characters.
    String::from_utf8_lossy(&bytes)
        .chars()
        .filter(|character| *character == '\n' || *character == '\t' || !character.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_has_the_end_of_each_log_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("serial.log"), "one\r\ntwo\r\nthree\r\n").unwrap();
        fs::write(folder.path().join("command"), "qemu -m 1").unwrap();
        fs::write(folder.path().join("initramfs.cpio"), "070701").unwrap();
        let text = report(folder.path(), 2);
        assert!(text.ends_with(
            "---- command (last lines)\nqemu -m 1\n---- serial.log (last lines)\ntwo\nthree\n"
        ));
        assert!(!text.contains("070701"));
    }

    #[test]
    fn panic_is_found_in_a_serial_log() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "[1.0] boot\r\n").unwrap();
        assert_eq!(panic_line(file.path()), None);
        fs::write(file.path(), "x\r\n[2.0] Kernel panic - not syncing: y\r\nz").unwrap();
        assert_eq!(
            panic_line(file.path()).as_deref(),
            Some("[2.0] Kernel panic - not syncing: y")
        );
    }
}
