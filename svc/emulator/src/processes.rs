//! The processes of a generation, and their end.
//!
//! We are the subreaper: a process whose parent ends becomes our child. So, when we have no
//! children any more, nobody descends from us.

use std::collections::HashSet;
use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

/// `__WALL`: also children that do not signal their end.
const ALL_KINDS: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);

/// Children of this process, those that have ended and were not waited for included.
pub(crate) fn children() -> HashSet<Pid> {
    let me = getpid();
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashSet::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let pids = pids.filter_map(Pid::from_raw);
    pids.filter(|&pid| parent(pid) == Some(me)).collect()
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name may hold anything, parentheses too.
    let (_, rest) = stat.rsplit_once(')')?;
    Pid::from_raw(rest.split_ascii_whitespace().nth(1)?.parse().ok()?)
}

/// Kills all descendants but `others`, from the top down: no parent sees its child end.
///
/// A child is ours until we wait for it, so its id cannot become another's.
pub(crate) fn end_all(others: &HashSet<Pid>) {
    loop {
        let children = children();
        let ours: Vec<Pid> = children.difference(others).copied().collect();
        if ours.is_empty() {
            return;
        }
        for &pid in &ours {
            // It may have ended already.
            let _ended = kill_process(pid, Signal::KILL);
        }
        for &pid in &ours {
            while matches!(waitpid(Some(pid), ALL_KINDS), Err(Errno::INTR)) {}
        }
    }
}

/// Waits for orphans that have ended; `others` and `program` are waited for elsewhere.
pub(crate) fn reap_orphans(others: &HashSet<Pid>, program: Pid) {
    for &pid in children().difference(others) {
        if pid != program {
            // Most go on.
            let _goes_on = waitpid(Some(pid), ALL_KINDS | WaitOptions::NOHANG);
        }
    }
}
