//! The system call.
//!
//! `fork` copies the calling thread only. In a process with other threads the copy may find their
//! locks taken for ever, the allocator's among them; that is why it is no safe call. With one thread
//! there is nobody to hold a lock, and the copy is a process like its parent.
#![expect(unsafe_code, reason = "fork(2) is a raw system call")]

use std::io;

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The process that called; with the process id of the copy.
    Parent(u32),
    /// The copy.
    Child,
}

/// Makes a copy of this process.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] when the process has more than one thread: then there is no
/// copy. What `fork(2)` says otherwise.
pub fn fork() -> io::Result<Side> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    // SAFETY: this is the only thread, as just counted, and only this thread could make another:
    // nobody holds a lock or is half through a change of shared state.
    let answer = unsafe { libc::fork() };
    match u32::try_from(answer) {
        Ok(0) => Ok(Side::Child),
        Ok(pid) => Ok(Side::Parent(pid)),
        Err(_negative) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_other_threads_there_is_no_copy() {
        // The harness runs each test in a thread of its own.
        let error = fork().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }
}
