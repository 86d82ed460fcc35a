//! The thread that makes a call.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use crate::memory::{self, Fault};

/// `PIDFD_THREAD` (v6.9): the descriptor is for this thread, not for its process.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(0o200);

/// Size of the smallest page: memory is accessible or not in such steps.
const PAGE: u64 = 4096;

/// A thread of another process, by its id. The id stays its own as long as its call is not answered
/// ([`crate::Listener::is_waiting`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    tid: Pid,
}

impl Task {
    /// The thread of this id.
    pub const fn new(tid: Pid) -> Self {
        Self { tid }
    }

    /// Its id.
    pub const fn tid(self) -> Pid {
        self.tid
    }

    /// Fills `bytes` from its memory.
    ///
    /// # Errors
    /// [`Fault`] unless all of it is there.
    pub fn read(self, addr: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let done_bytes = memory::read(self.tid, addr, bytes);
        if done_bytes == bytes.len() {
            return Ok(());
        }
        Err(Fault { addr, done_bytes })
    }

    /// Writes `bytes` to its memory.
    ///
    /// # Errors
    /// [`Fault`] unless all of it was written.
    pub fn write(self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        let done_bytes = memory::write(self.tid, addr, bytes);
        if done_bytes == bytes.len() {
            return Ok(());
        }
        Err(Fault { addr, done_bytes })
    }

    /// Reads a C string, without its NUL; `None` when it is longer than `limit` bytes.
    ///
    /// # Errors
    /// [`Fault`] when its memory ends before it.
    pub fn read_c_string(self, addr: u64, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        let mut text = Vec::new();
        let mut at = addr;
        // Most strings are short; what is read beyond is only time.
        let mut step = 256;
        while text.len() <= limit {
            // Not over a page's end: the next one may not be there.
            let to_end = PAGE - at % PAGE;
            let len = usize::try_from(to_end.min(step)).unwrap_or(0);
            let start = text.len();
            text.resize(start + len, 0);
            let Some(new) = text.get_mut(start..) else {
                break;
            };
            self.read(at, new)?;
            if let Some(end) = new.iter().position(|&byte| byte == 0) {
                text.truncate(start + end);
                return Ok((text.len() <= limit).then_some(text));
            }
            at = at.wrapping_add(len as u64);
            step = PAGE;
        }
        Ok(None)
    }

    /// A duplicate of one of its descriptors.
    ///
    /// # Errors
    /// `EBADF` when it has none of that number, `EPERM` when it may not be traced, `ESRCH` when it
    /// is gone.
    pub fn duplicate_fd(self, fd: RawFd) -> Result<OwnedFd, Errno> {
        // rustix panics at such numbers.
        if fd < 0 {
            return Err(Errno::BADF);
        }
        let pidfd = self.pidfd()?;
        rustix::process::pidfd_getfd(pidfd.as_fd(), fd, PidfdGetfdFlags::empty())
    }

    /// `RLIMIT_NOFILE`: its descriptors have smaller numbers; `None` when it may not be asked.
    pub fn descriptor_limit(self) -> Option<u64> {
        memory::descriptor_limit(self.tid)
    }

    /// The thread itself, as its process's first thread may have ended; before v6.9 the process.
    fn pidfd(self) -> Result<OwnedFd, Errno> {
        match rustix::process::pidfd_open(self.tid, PIDFD_THREAD) {
            Err(Errno::INVAL) => {
                let leader = self.leader().ok_or(Errno::SRCH)?;
                rustix::process::pidfd_open(leader, PidfdFlags::empty())
            }
            answer => answer,
        }
    }

    /// Id of its process.
    pub fn leader(self) -> Option<Pid> {
        let path = format!("/proc/{}/status", self.tid.as_raw_nonzero());
        let text = fs::read_to_string(path).ok()?;
        let tgid = text.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        Pid::from_raw(tgid.trim().parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Task {
        Task::new(rustix::thread::gettid())
    }

    #[test]
    fn memory_is_read_and_written_where_it_is() {
        let mut word = 7_u32;
        let addr = (&raw mut word) as u64;
        let mut bytes = [0; 4];
        me().read(addr, &mut bytes).unwrap();
        assert_eq!(bytes, 7_u32.to_ne_bytes());
        me().write(addr, &9_u32.to_ne_bytes()).unwrap();
        assert_eq!(std::hint::black_box(word), 9);
    }

    #[test]
    fn memory_that_is_not_there_is_a_fault() {
        let fault = me().read(8, &mut [0; 4]).unwrap_err();
        assert_eq!((fault.addr, fault.done_bytes), (8, 0));
        // Read-only memory: the text of this program.
        let code = memory_that_is_not_there_is_a_fault as *const () as u64;
        assert!(me().read(code, &mut [0; 4]).is_ok());
        assert!(me().write(code, &[0; 4]).is_err());
    }

    #[test]
    fn a_string_is_read_over_a_page_and_not_past_its_limit() {
        let mut text = vec![b'x'; 9000];
        text.push(0);
        let addr = text.as_ptr() as u64;
        assert_eq!(me().read_c_string(addr, 9000).unwrap().unwrap().len(), 9000);
        assert_eq!(me().read_c_string(addr, 8999).unwrap(), None);
        assert_eq!(
            me().read_c_string(addr + 9000, 10).unwrap(),
            Some(Vec::new())
        );
        assert!(me().read_c_string(8, 10).is_err());
    }

    #[test]
    fn a_descriptor_is_duplicated_also_for_a_thread() {
        let thread = std::thread::spawn(|| {
            assert_eq!(me().leader(), Some(rustix::process::getpid()));
            let copy = me().duplicate_fd(2).unwrap();
            let ours = rustix::fs::fstat(std::io::stderr()).unwrap();
            assert_eq!(rustix::fs::fstat(copy).unwrap().st_ino, ours.st_ino);
            for wrong in [1_000_000, -1, i32::MIN] {
                assert_eq!(me().duplicate_fd(wrong).unwrap_err(), Errno::BADF);
            }
        });
        thread.join().unwrap();
    }
}
