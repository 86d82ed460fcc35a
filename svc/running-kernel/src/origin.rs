//! Which kernel this one was started by, and how many kexecs there were since the cold boot.
//!
//! Every kernel tells the next one its release and one more than it was told (KHO node `kexec-metadata`). debugfs shows
//! both blobs; where it does not, the kernel's log has the line `KHO: exec from: RELEASE (count N)`, as long as it is not
//! overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use kho::Metadata;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::sources::{Sources, blob};

/// Bytes of the longest record of `/dev/kmsg` (`PRINTKRB_RECORD_MAX` and its names, less than this).
const MAX_RECORD_BYTES: usize = 8192;
/// Bytes of a log that are looked at.
const MAX_LOG_BYTES: usize = 64 << 20;

/// Where a boot came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Kexecs with a handover since the cold boot; `None` where it is not known.
    pub kexec_count: Option<u32>,
    /// Release of the kernel before; `None` after a cold boot, and where it is not known.
    pub previous_release: Option<String>,
    /// Who says so.
    pub source: OriginSource,
}

/// Who says where a boot came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginSource {
    /// The kernel's own blobs.
    Debugfs,
    /// The kernel's log.
    Log,
    /// Nobody.
    #[default]
    Unknown,
}

impl Sources {
    /// Where this boot came from.
    pub fn origin(&self) -> Origin {
        self.origin_of_blobs()
            .or_else(|| origin_of_log(&self.path("dev/kmsg")))
            .unwrap_or_default()
    }

    /// The outgoing blob counts one more than has happened: 1 on a cold boot. The incoming one, which the kernel keeps
    /// for as long as it runs, has the release.
    fn origin_of_blobs(&self) -> Option<Origin> {
        let read = |side: &str| {
            let name = format!("{side}/sub_fdts/kexec-metadata");
            Metadata::read(&blob(&self.debugfs(&name))?).ok()
        };
        let outgoing = read("out")?;
        let incoming = read("in");
        Some(Origin {
            kexec_count: outgoing.kexec_count.checked_sub(1),
            previous_release: incoming.map(|metadata| metadata.previous_release),
            source: OriginSource::Debugfs,
        })
    }
}

/// The line, or the start of the log without it.
fn origin_of_log(path: &Path) -> Option<Origin> {
    let log = read_log(path).ok()?;
    let of = |kexec_count, previous_release| Origin {
        kexec_count: Some(kexec_count),
        previous_release,
        source: OriginSource::Log,
    };
    if let Some(found) = log.lines().find_map(Metadata::of_log_line) {
        return Some(of(found.kexec_count, Some(found.previous_release)));
    }
    // `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT`: from the first line on, it is whole.
    let is_whole = log.lines().next()?.split(',').nth(1) == Some("0");
    is_whole.then(|| of(0, None))
}

/// What is in the kernel's log now. Each read gives a record; one that was overwritten meanwhile is skipped.
fn read_log(path: &Path) -> io::Result<String> {
    let no_wait = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(no_wait)
        .open(path)?;
    let mut log = Vec::new();
    let mut record = vec![0; MAX_RECORD_BYTES];
    while log.len() < MAX_LOG_BYTES {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => log.extend_from_slice(record.get(..length).unwrap_or_default()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => break,
                Some(Errno::PIPE | Errno::INTR) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(String::from_utf8_lossy(&log).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn metadata(release: &str, count: u32) -> Vec<u8> {
        let mut blob = vec![0; 73];
        blob[..4].copy_from_slice(&1_u32.to_ne_bytes());
        blob[4..4 + release.len()].copy_from_slice(release.as_bytes());
        blob[69..].copy_from_slice(&count.to_ne_bytes());
        blob
    }

    fn origin(files: &[(&str, &[u8])]) -> Origin {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Sources::under(folder.path()).origin()
    }

    const OUT: &str = "sys/kernel/debug/kho/out/sub_fdts/kexec-metadata";
    const IN: &str = "sys/kernel/debug/kho/in/sub_fdts/kexec-metadata";
    const LINE: &[u8] =
        b"6,0,0,-;Linux version 7.3.4\n6,112,0,-;KHO: exec from: 7.2.13 (count 2)\n";

    #[test]
    fn the_blobs_say_more_than_the_log() {
        let (out, received) = (metadata("7.3.4", 2), metadata("7.2.13", 1));
        let found = origin(&[(OUT, &out), (IN, &received), ("dev/kmsg", LINE)]);
        assert_eq!(found.kexec_count, Some(1));
        assert_eq!(found.previous_release.as_deref(), Some("7.2.13"));
        assert_eq!(found.source, OriginSource::Debugfs);
        // A cold boot.
        let found = origin(&[(OUT, &metadata("7.3.4", 1))]);
        assert_eq!((found.kexec_count, found.previous_release), (Some(0), None));
    }

    #[test]
    fn without_blobs_the_log_is_read() {
        for files in [
            &[("dev/kmsg", LINE)][..],
            &[(OUT, &[1, 0, 0, 0][..]), ("dev/kmsg", LINE)],
        ] {
            let found = origin(files);
            assert_eq!(found.kexec_count, Some(2));
            assert_eq!(found.previous_release.as_deref(), Some("7.2.13"));
            assert_eq!(found.source, OriginSource::Log);
        }
    }

    #[test]
    fn a_log_that_lost_its_start_says_nothing() {
        let whole: &[u8] = b"6,0,0,-;Linux version 7.3.4\n";
        assert_eq!(origin(&[("dev/kmsg", whole)]).kexec_count, Some(0));
        let cut: &[u8] = b"6,900,12,-;usb 1-1: new device\n";
        assert_eq!(origin(&[("dev/kmsg", cut)]), Origin::default());
        assert_eq!(origin(&[]), Origin::default());
    }
}
