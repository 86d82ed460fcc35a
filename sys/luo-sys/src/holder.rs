//! Who has `/dev/liveupdate` open.

use std::fmt;
use std::fs;

use liveupdate_uapi::DEVICE_PATH;

/// A process with the device open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceHolder {
    /// Process id in this PID namespace.
    pub pid: u32,
    /// Its name, `/proc/PID/comm`.
    pub comm: String,
}

impl fmt::Display for DeviceHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.comm, self.pid)
    }
}

/// Finds the processes that have the device open, as far as `/proc` shows them to this user.
///
/// A snapshot: the device may be free, or held by someone else, when this returns.
pub fn find_device_holders() -> Vec<DeviceHolder> {
    holders_of(DEVICE_PATH)
}

fn holders_of(path: &str) -> Vec<DeviceHolder> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| has_open(pid, path))
        .map(|pid| DeviceHolder {
            pid,
            comm: comm(pid),
        })
        .collect()
}

fn has_open(pid: u32, path: &str) -> bool {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    fds.flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == path))
}

fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(
        |_| "a process that just ended".to_owned(),
        |comm| comm.trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_has_a_file_open_is_found() {
        let path = "/proc/self/comm";
        // /proc/self is a symlink: the link of the descriptor names the number.
        let open = fs::File::open(path).unwrap();
        let real = format!("/proc/{}/comm", std::process::id());
        assert!(
            holders_of(&real)
                .iter()
                .any(|holder| holder.pid == std::process::id())
        );
        drop(open);
        assert!(
            !holders_of(&real)
                .iter()
                .any(|holder| holder.pid == std::process::id())
        );
    }
}
