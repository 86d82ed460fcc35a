//! Scratch, where the handover itself does not tell: of the running kernel, from debugfs; of one that
//! was composed, from beside its pages.

use std::path::Path;

use handover_compose::Saved;
use kho::{Area, PhysAddr, ScratchAreas};

use super::{UNREADABLE, number};
use crate::failure::{Failure, chain};

/// Files with one `0x…` a line (`kernel/liveupdate/kexec_handover_debugfs.c`, v7.3).
const FOLDER: &str = "/sys/kernel/debug/kho/out";

/// The areas; `None` without `CONFIG_KEXEC_HANDOVER_DEBUGFS`.
pub(crate) fn running() -> Option<ScratchAreas> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(Path::new(FOLDER).join(name)).ok()?;
        text.lines().map(number).collect::<Option<Vec<u64>>>()
    };
    areas(&read("scratch_phys")?, &read("scratch_len")?)
}

/// The areas of a folder of pages; `None` of one that was not composed.
pub(crate) fn saved(folder: &Path) -> Result<Option<ScratchAreas>, Failure> {
    Saved::scratch_of(folder).map_err(|error| Failure {
        exit_code: UNREADABLE,
        kind: "Unreadable",
        message: chain(&error),
        hint: "without that file, scratch is not compared".to_owned(),
    })
}

fn areas(addrs: &[u64], lengths: &[u64]) -> Option<ScratchAreas> {
    if addrs.len() != lengths.len() || addrs.is_empty() {
        return None;
    }
    let areas = addrs.iter().zip(lengths).map(|(&addr, &bytes)| Area {
        addr: PhysAddr(addr),
        bytes,
    });
    Some(ScratchAreas::new(areas.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_must_agree() {
        let found = areas(&[0x1000, 0x8000], &[0x1000, 0]).unwrap();
        assert!(found.overlap(PhysAddr(0x1800), 1));
        assert_eq!(found.areas().len(), 2);
        assert_eq!(areas(&[0x1000], &[]), None);
        assert_eq!(areas(&[], &[]), None);
    }
}
