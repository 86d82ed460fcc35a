//! A program that calls: memory with rights, descriptors, a limit.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use super::world::{File, PAGE, PAGE_LEN};
use crate::{Caller, Errno, Fault, InstallError, Object};

/// Where arguments go unless a test says otherwise.
pub(super) const ARGS: u64 = 0x10_0000;
const MAPPED_PAGES: u64 = 4;

/// Checked in the order of the kernel.
#[derive(Debug)]
pub(super) struct Process {
    pages: BTreeMap<u64, Vec<u8>>,
    pub(super) read_only: BTreeSet<u64>,
    pub(super) fds: BTreeMap<i32, Object<File>>,
    pub(super) limit: usize,
    /// Calls that were made to the process, to see what was checked before what.
    pub(super) asked: Vec<&'static str>,
}

impl Process {
    pub(super) fn new() -> Self {
        let page = |index| (ARGS + index * PAGE, vec![0; PAGE_LEN]);
        Self {
            pages: (0..MAPPED_PAGES).map(page).collect(),
            read_only: BTreeSet::new(),
            fds: BTreeMap::new(),
            limit: 10_000,
            asked: Vec::new(),
        }
    }

    pub(super) const fn end_of_memory() -> u64 {
        ARGS + MAPPED_PAGES * PAGE
    }

    /// Opens a file; its descriptor.
    pub(super) fn give(&mut self, object: Object<File>) -> i32 {
        let fd = (0..).find(|fd| !self.fds.contains_key(fd)).unwrap();
        self.fds.insert(fd, object);
        fd
    }

    pub(super) fn file(&self, fd: i32) -> File {
        match &self.fds[&fd] {
            Object::File(file) => file.clone(),
            other => panic!("{fd} is {other:?}"),
        }
    }

    fn access(&mut self, addr: u64, len: usize, is_write: bool) -> Result<(), Fault> {
        (addr..addr.checked_add(len as u64).ok_or(Fault)?).try_for_each(|at| {
            let page = at / PAGE * PAGE;
            let bad = !self.pages.contains_key(&page) || is_write && self.read_only.contains(&page);
            if bad { Err(Fault) } else { Ok(()) }
        })
    }

    /// Puts bytes into the memory, whatever its rights.
    pub(super) fn poke(&mut self, addr: u64, bytes: &[u8]) {
        for (at, &byte) in (addr..).zip(bytes) {
            let page = self.pages.get_mut(&(at / PAGE * PAGE)).unwrap();
            page[usize::try_from(at % PAGE).unwrap()] = byte;
        }
    }

    /// Makes all of the memory zeros.
    pub(super) fn clear(&mut self) {
        self.pages.values_mut().for_each(|page| page.fill(0));
    }

    pub(super) fn peek(&self, addr: u64, len: usize) -> Vec<u8> {
        let byte = |at: u64| self.pages[&(at / PAGE * PAGE)][usize::try_from(at % PAGE).unwrap()];
        (addr..addr + len as u64).map(byte).collect()
    }
}

impl Caller for Process {
    type File = File;

    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.access(addr, bytes.len(), false)?;
        bytes.copy_from_slice(&self.peek(addr, bytes.len()));
        Ok(())
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.asked.push("write");
        self.access(addr, bytes.len(), true)?;
        self.poke(addr, bytes);
        Ok(())
    }

    fn reserve_fd(&mut self) -> Result<(), Errno> {
        self.asked.push("reserve_fd");
        if self.fds.len() < self.limit {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }

    fn object(&mut self, fd: i32) -> Result<Object<File>, Errno> {
        self.asked.push("object");
        self.fds.get(&fd).cloned().ok_or(Errno::EBADF)
    }

    fn install(
        &mut self,
        object: Object<File>,
        addr: u64,
        answer: &mut [u8],
        fd_offset: usize,
    ) -> Result<(), InstallError> {
        self.asked.push("install");
        self.access(addr, answer.len(), true)?;
        let fd = self.give(object);
        answer[fd_offset..fd_offset + 4].copy_from_slice(&fd.to_ne_bytes());
        self.poke(addr, answer);
        Ok(())
    }
}
