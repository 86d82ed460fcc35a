//! How far something long is: one line on a terminal, written over again and gone at the end. Elsewhere nothing.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use kho::{MemError, PageSize, PhysAddr, PhysMem};

/// Time between two states of the line.
const PAUSE: Duration = Duration::from_millis(100);
/// To the start of the line, and nothing behind it.
const CLEAR: &[u8] = b"\r\x1b[K";

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    is_terminal: bool,
    /// When the line was written last.
    written: Cell<Option<Instant>>,
}

impl Progress {
    /// Begins something.
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            is_terminal: stderr().is_terminal(),
            written: Cell::new(None),
        }
    }

    /// So much of all is done.
    pub(crate) fn part(&self, done: u64, all: u64) {
        let percent = u128::from(done) * 100 / u128::from(all.max(1));
        self.write(|| format!("{percent} %"));
    }

    /// So many bytes are done, of nobody knows how many.
    pub(crate) fn bytes(&self, done: u64) {
        self.write(|| format!("{} MiB", done >> 20));
    }

    fn write(&self, state_fn: impl FnOnce() -> String) {
        let is_new = |written: Instant| written.elapsed() >= PAUSE;
        if !self.is_terminal || !self.written.get().is_none_or(is_new) {
            return;
        }
        self.written.set(Some(Instant::now()));
        let line = format!("{}: {}", self.what, state_fn());
        self.put(&[CLEAR, line.as_bytes()].concat());
    }

    /// Takes the line away, for a line of something else.
    pub(crate) fn clear(&self) {
        if self.written.take().is_some() {
            self.put(CLEAR);
        }
    }

    /// A terminal that is gone stops nothing.
    fn put(&self, bytes: &[u8]) {
        let mut out = stderr().lock();
        let _gone = out.write_all(bytes).and_then(|()| out.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Memory of which is told how much was read.
#[derive(Debug)]
pub(crate) struct Watched<'a, M> {
    memory: &'a M,
    progress: &'a Progress,
    read: Cell<u64>,
}

impl<'a, M> Watched<'a, M> {
    pub(crate) const fn new(memory: &'a M, progress: &'a Progress) -> Self {
        Self {
            memory,
            progress,
            read: Cell::new(0),
        }
    }
}

impl<M: PhysMem> PhysMem for Watched<'_, M> {
    fn page_size(&self) -> PageSize {
        self.memory.page_size()
    }

    fn read(&self, addr: PhysAddr, bytes: &mut [u8]) -> Result<(), MemError> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.read.set(self.read.get().saturating_add(len));
        self.progress.bytes(self.read.get());
        self.memory.read(addr, bytes)
    }

    fn is_memory(&self, addr: PhysAddr, bytes: u64) -> bool {
        self.memory.is_memory(addr, bytes)
    }
}
