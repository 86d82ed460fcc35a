//! `statmount(2)` and `listmount(2)`, read from the bytes that the kernel writes.

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;
use std::os::fd::AsFd;

use crate::call::{self, MntIdReq};

/// `STATMOUNT_{SB_BASIC,MNT_BASIC,MNT_ROOT,MNT_POINT,FS_TYPE,MNT_OPTS,SB_SOURCE}`; a kernel leaves
/// out what it does not know.
const WANTED: u64 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x80 | 0x200;
/// `sizeof(struct statmount)`: the strings come behind.
const FIXED: usize = 512;
/// Room that is given first, and at most: four strings of `PATH_MAX` and options of a page.
const FIRST_ROOM: usize = 2048;
const MOST_ROOM: usize = 1 << 20;
/// `STATX_MNT_ID_UNIQUE` (`include/uapi/linux/stat.h`, v7.3).
const MNT_ID_UNIQUE: u32 = 0x4000;
/// `LSMT_ROOT`: all mounts of the namespace.
const ROOT: u64 = u64::MAX;
/// Mounts that are listed at a time.
const BATCH: usize = 256;

/// The number of a mount, which no other has until the machine is started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MountId(u64);

impl MountId {
    /// The mount that an open file is on.
    ///
    /// # Errors
    /// `ENOSYS` of a kernel that has no such numbers (before Linux 6.8).
    pub fn of(file: impl AsFd) -> Result<Self, Errno> {
        let wanted = StatxFlags::from_bits_retain(MNT_ID_UNIQUE);
        let found = statx(file, c"", AtFlags::EMPTY_PATH, wanted)?;
        if found.stx_mask & MNT_ID_UNIQUE == 0 {
            return Err(Errno::NOSYS);
        }
        Ok(Self(found.stx_mnt_id))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Its number.
    pub id: MountId,
    /// That of the mount it is mounted on; its own, of a root and of what is detached.
    pub parent: MountId,
    /// Its attributes, `MOUNT_ATTR_…`.
    pub attributes: crate::AttributeFlags,
    /// Device of the file system: major, minor.
    pub device: (u32, u32),
    /// Type of the file system.
    pub fs_type: Option<String>,
    /// What is mounted, as it was given.
    pub source: Option<String>,
    /// The folder of the file system that is the mount's root.
    pub root: Option<String>,
    /// Where it is mounted, seen from the caller's root; `None` where it cannot be seen.
    pub mount_point: Option<String>,
    /// Options of the file system.
    pub options: Option<String>,
}

/// `statmount(id)` — describes a mount of the caller's namespace.
///
/// # Errors
/// `ENOENT` without such a mount, `ENOSYS` before Linux 6.8.
pub fn statmount(id: MountId) -> Result<MountInfo, Errno> {
    let request = MntIdReq::new(id.0, WANTED);
    let mut room = FIRST_ROOM;
    loop {
        let mut bytes = vec![0; room];
        match call::statmount(&request, &mut bytes) {
            Ok(()) => return parse(&bytes).ok_or(Errno::PROTO),
            // The strings did not fit.
            Err(Errno::OVERFLOW) if room < MOST_ROOM => room *= 4,
            Err(errno) => return Err(errno),
        }
    }
}

/// `listmount(id)` — lists the mounts right below another, or with `None` all of the namespace.
///
/// # Errors
/// `ENOENT` without such a mount, `ENOSYS` before Linux 6.8.
pub fn listmount(below: Option<MountId>) -> Result<Vec<MountId>, Errno> {
    let mut all = Vec::new();
    let mut last = 0;
    loop {
        let request = MntIdReq::new(below.map_or(ROOT, MountId::number), last);
        let mut batch = [0; BATCH];
        let count = call::listmount(&request, &mut batch)?;
        let listed = batch.get(..count).unwrap_or_default();
        all.extend(listed.iter().copied().map(MountId));
        match listed.last() {
            Some(id) if count == BATCH => last = *id,
            _ => return Ok(all),
        }
    }
}

/// `struct statmount`, at its offsets; `None` of one that is too short.
fn parse(bytes: &[u8]) -> Option<MountInfo> {
    let u32_at = |at: usize| -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let u64_at = |at: usize| -> Option<u64> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    let mask = u64_at(8)?;
    let text = |bit: u64, at: usize| -> Option<String> {
        if mask & bit == 0 {
            return None;
        }
        let start = FIXED.checked_add(usize::try_from(u32_at(at)?).ok()?)?;
        let text = bytes.get(start..)?.split(|&byte| byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    Some(MountInfo {
        id: MountId(u64_at(40)?),
        parent: MountId(u64_at(48)?),
        attributes: crate::AttributeFlags::from_bits_retain(u64_at(64)?),
        device: (u32_at(16)?, u32_at(20)?),
        fs_type: text(0x20, 36),
        source: text(0x200, 124),
        root: text(0x8, 104),
        mount_point: text(0x10, 108),
        options: text(0x80, 4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_outside_of_the_answer_are_none() {
        let mut bytes = vec![0; FIXED + 8];
        bytes[8..16].copy_from_slice(&WANTED.to_ne_bytes());
        bytes[36..40].copy_from_slice(&4_u32.to_ne_bytes());
        bytes[104..108].copy_from_slice(&u32::MAX.to_ne_bytes());
        bytes[FIXED + 4..].copy_from_slice(b"ext4");
        let info = parse(&bytes).unwrap();
        assert_eq!(info.fs_type.as_deref(), Some("ext4"));
        assert_eq!(info.root, None);
        assert_eq!(parse(&bytes[..60]), None);
    }

    /// The kernel's other view of the same: `/proc/self/mountinfo`.
    #[test]
    fn the_mount_of_proc_is_as_mountinfo_says() {
        let proc = std::fs::File::open("/proc").unwrap();
        let info = match MountId::of(&proc).and_then(statmount) {
            Err(Errno::NOSYS) => {
                eprintln!("skipped: no statmount(2) on this kernel");
                return;
            }
            answer => answer.unwrap(),
        };
        assert_eq!(info.fs_type.as_deref(), Some("proc"));
        assert_eq!(info.mount_point.as_deref(), Some("/proc"));
        let all = listmount(None).unwrap();
        assert!(all.contains(&info.id));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(all.len(), mounts.lines().count());
    }
}
