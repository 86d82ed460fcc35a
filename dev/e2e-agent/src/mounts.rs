//! File systems and limits that every program of the guest expects.

use std::fs;

use anyhow::Context as _;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::platform::Platform;

/// Open files per process: the kernel's own ceiling (`NR_OPEN`, `include/uapi/linux/fs.h`), enough
/// for thousands of sessions.
const OPEN_FILES: u64 = 1 << 20;

/// Whether the guest can do without a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Required,
    /// The kernel may be built without it.
    Optional,
}

/// What is mounted where, in order.
const MOUNTS: [(&str, &str, Need); 11] = [
    ("proc", "/proc", Need::Required),
    ("sysfs", "/sys", Need::Required),
    ("devtmpfs", "/dev", Need::Required),
    ("devpts", "/dev/pts", Need::Optional),
    ("tmpfs", "/dev/shm", Need::Required),
    ("tmpfs", "/run", Need::Required),
    ("tmpfs", "/tmp", Need::Required),
    ("debugfs", "/sys/kernel/debug", Need::Optional),
    ("tracefs", "/sys/kernel/tracing", Need::Optional),
    ("pstore", "/sys/fs/pstore", Need::Optional),
    ("cgroup2", "/sys/fs/cgroup", Need::Optional),
];

/// The first of [`MOUNTS`], which an emulated machine has from its root already.
const FROM_ROOT: [&str; 3] = ["/proc", "/sys", "/dev"];
/// What would be the host's.
const HOSTS: &str = "/sys/";

/// Mounts everything; a missing optional file system is named in the result.
///
/// # Errors
/// A required one cannot be mounted.
pub(crate) fn mount_all(platform: Platform) -> anyhow::Result<Vec<String>> {
    let mut missing = Vec::new();
    for (kind, target, need) in MOUNTS {
        let is_given = FROM_ROOT.contains(&target) || target.starts_with(HOSTS);
        if platform == Platform::Emulated && is_given {
            continue;
        }
        if let Err(error) = mount_one(kind, target) {
            match need {
                Need::Required => return Err(error),
                Need::Optional => missing.push(format!("{error:#}")),
            }
        }
    }
    Ok(missing)
}

fn mount_one(kind: &str, target: &str) -> anyhow::Result<()> {
    // In sysfs the folders are the kernel's; there the mount says what is wrong.
    let _present_or_mount_says = fs::create_dir_all(target);
    mount(kind, target, kind, MountFlags::empty(), None)
        .with_context(|| format!("mount {kind} on {target}"))
}

/// Lets this process and its children open [`OPEN_FILES`] files, or as many as the host lets an
/// emulated machine.
pub(crate) fn raise_open_files(platform: Platform) -> anyhow::Result<()> {
    let limit = match platform {
        Platform::Virtual => Some(OPEN_FILES),
        Platform::Emulated => getrlimit(Resource::Nofile).maximum,
    };
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, limit).with_context(|| format!("set RLIMIT_NOFILE to {OPEN_FILES}"))
}
