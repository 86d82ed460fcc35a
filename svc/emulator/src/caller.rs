//! The caller of an ioctl, as the engine asks for it.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};

use luo::{Caller, Errno, Fault, InstallError, Object};
use notify_sys::{FdTarget, Listener, Notification, Task};
use rustix::fs::{CWD, OFlags};

use crate::files::{OpenFile, errno};
use crate::objects::{Held, Objects};

/// What a descriptor of a task stands for; `None` when it is none of ours.
pub(crate) fn held(objects: &Objects, task: Task, fd: RawFd) -> Option<Held> {
    objects.by_link(&link(task, fd)?)
}

/// Where `/proc` says that a descriptor leads.
fn link(task: Task, fd: RawFd) -> Option<Vec<u8>> {
    let path = format!("/proc/{}/fd/{fd}", task.tid().as_raw_nonzero());
    let link = rustix::fs::readlinkat(CWD, path, Vec::new()).ok()?;
    Some(link.into_bytes())
}

/// Writes to the memory of a caller, if it still is one: else its id may be another's by now.
pub(crate) fn write(
    listener: &Listener,
    call: &Notification,
    addr: u64,
    bytes: &[u8],
) -> Result<(), Fault> {
    if !listener.is_waiting(call.id) {
        return Err(Fault);
    }
    call.task.write(addr, bytes).or(Err(Fault))
}

/// The task that waits for the answer to a call.
pub(crate) struct TaskCaller<'a> {
    pub(crate) call: &'a Notification,
    pub(crate) listener: &'a Listener,
    pub(crate) objects: &'a mut Objects,
}

impl TaskCaller<'_> {
    fn add(&self, fd: BorrowedFd<'_>) -> Result<RawFd, Errno> {
        let added = self.listener.add_fd(self.call.id, fd, FdTarget::Lowest);
        added.map_err(errno)
    }

    /// Gives the descriptor and tells its number.
    fn give(
        &self,
        fd: BorrowedFd<'_>,
        addr: u64,
        answer: &mut [u8],
        fd_offset: usize,
    ) -> Result<(), InstallError> {
        // There is no way to take a descriptor back, so the answer is written twice: first as the
        // caller knows it, to find out whether it can be.
        write(self.listener, self.call, addr, answer)?;
        let number = self.add(fd)?;
        if let Some(place) = answer.get_mut(fd_offset..fd_offset.saturating_add(4)) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        write(self.listener, self.call, addr, answer)?;
        Ok(())
    }
}

impl Caller for TaskCaller<'_> {
    type File = OpenFile;

    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.call.task.read(addr, bytes).or(Err(Fault))
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        write(self.listener, self.call, addr, bytes)
    }

    fn reserve_fd(&mut self) -> Result<(), Errno> {
        let task = self.call.task;
        let Some(limit) = task.descriptor_limit() else {
            // Not to be known: adding the descriptor will tell.
            return Ok(());
        };
        let folder = format!("/proc/{}/fd", task.tid().as_raw_nonzero());
        // The size of this folder is the number of descriptors (v6.2; 0 before).
        let open = fs::metadata(&folder).map_or(0, |it| it.len());
        if open != 0 && open < limit {
            return Ok(());
        }
        if has_free_number(&folder, limit) {
            return Ok(());
        }
        Err(Errno::EMFILE)
    }

    fn object(&mut self, fd: i32) -> Result<Object<OpenFile>, Errno> {
        let task = self.call.task;
        match held(self.objects, task, fd) {
            Some(Held::Device) => return Ok(Object::Device),
            Some(Held::Session(id)) => return Ok(Object::Session(id)),
            Some(Held::DevicePath) => return Err(Errno::EBADF),
            None => {}
        }
        let file = task.duplicate_fd(fd).map_err(errno)?;
        let flags = rustix::fs::fcntl_getfl(&file).map_err(errno)?;
        if flags.contains(OFlags::PATH) {
            return Err(Errno::EBADF);
        }
        Ok(Object::File(OpenFile::new(file)))
    }

    fn install(
        &mut self,
        object: Object<OpenFile>,
        addr: u64,
        answer: &mut [u8],
        fd_offset: usize,
    ) -> Result<(), InstallError> {
        let held = match object {
            Object::File(file) => return self.give(file.as_fd(), addr, answer, fd_offset),
            Object::Device => Held::Device,
            Object::Session(id) => Held::Session(id),
        };
        let given = self.objects.make(held).map_err(errno)?;
        let told = self.give(given.fd.as_fd(), addr, answer, fd_offset);
        if told.is_err() {
            self.objects.take_back(given);
        }
        told
    }
}

/// Whether a number below the limit is free, from the numbers that are not.
fn has_free_number(folder: &str, limit: u64) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return true;
    };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
    let used = numbers.filter(|&number| number < limit).count();
    u64::try_from(used).is_ok_and(|used| used < limit)
}
