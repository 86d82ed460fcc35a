//! Files of the guest for the host: parts of them, and the logs.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use anyhow::{Context as _, ensure};
use e2e_protocol::{Bytes, FILE_CHUNK, KeptLog, LOG_FOLDER, OUTPUT_LIMIT};

use crate::kmsg;

/// Reads at most `max` bytes of `path` from `offset` on.
pub(crate) fn read(path: &str, offset: u64, max: u64) -> anyhow::Result<Bytes> {
    let limit = u64::try_from(FILE_CHUNK).context("limit of a part")?;
    ensure!(
        max <= limit,
        "a part of a file has at most {FILE_CHUNK} bytes, not {max}"
    );
    let mut file = File::open(path).with_context(|| format!("open {path}"))?;
    if offset > 0 {
        file.seek(SeekFrom::Start(offset))
            .with_context(|| format!("go to byte {offset} of {path}"))?;
    }
    let mut bytes = Vec::new();
    file.take(max)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {path} from byte {offset}"))?;
    Ok(Bytes(bytes))
}

/// Writes `bytes` at `offset` of `path`; at 0 the file starts anew.
pub(crate) fn write(path: &str, mode: u32, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(offset == 0)
        .mode(mode & 0o7777)
        .open(path)
        .with_context(|| format!("open {path} for writing"))?;
    file.write_all_at(bytes, offset)
        .with_context(|| format!("write {} bytes at {offset} of {path}", bytes.len()))
}

/// The kernel log and every service log, the last part of each.
pub(crate) fn collect_logs() -> anyhow::Result<Vec<KeptLog>> {
    let mut logs = vec![KeptLog {
        name: "kernel".to_owned(),
        bytes: Bytes(end_of(kmsg::read().context("read the kernel log")?)),
    }];
    if let Ok(entries) = fs::read_dir(LOG_FOLDER) {
        for entry in entries.flatten() {
            let bytes = fs::read(entry.path())
                .with_context(|| format!("read {}", entry.path().display()))?;
            logs.push(KeptLog {
                name: entry.file_name().to_string_lossy().into_owned(),
                bytes: Bytes(end_of(bytes)),
            });
        }
    }
    Ok(logs)
}

fn end_of(mut bytes: Vec<u8>) -> Vec<u8> {
    let start = bytes.len().saturating_sub(OUTPUT_LIMIT);
    bytes.split_off(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_log_keeps_its_end() {
        let mut log = vec![b'a'; OUTPUT_LIMIT];
        log.extend_from_slice(b"end");
        let kept = end_of(log);
        assert_eq!(kept.len(), OUTPUT_LIMIT);
        assert!(kept.ends_with(b"aend"));
    }

    #[test]
    fn too_large_a_part_is_refused() {
        let refused = read("/dev/zero", 0, FILE_CHUNK as u64 + 1).unwrap_err();
        assert!(refused.to_string().contains("at most"), "{refused}");
        let part = read("/dev/zero", 0, 3).unwrap();
        assert_eq!(part, Bytes(vec![0; 3]));
    }
}
