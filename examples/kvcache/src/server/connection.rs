//! One client: bytes in, commands, bytes out.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::arena::Arena;
use crate::commands::{After, Arguments, Statistics, execute};
use crate::resp::{self, Parser};
use crate::table::Table;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Replies waiting to be written: above this no command is run. One reply comes on top.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// A buffer that grew for a large value is given back when it is empty.
const KEPT_CAPACITY: usize = 1 << 20;

/// Whether the connection lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    Closed,
}

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    input: Vec<u8>,
    /// Bytes of `input` that belong to finished commands.
    consumed: usize,
    parser: Parser,
    output: Vec<u8>,
    /// Bytes of `output` that are written.
    written: usize,
    /// Nothing more is read: the client is done, or broke the protocol.
    closing: bool,
    /// What the event loop waits for.
    pub(super) interest: EventFlags,
}

/// What a turn of a connection did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) life: Life,
    pub(super) commands: u64,
    pub(super) bytes_written: usize,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            input: Vec::new(),
            consumed: 0,
            parser: Parser::default(),
            output: Vec::new(),
            written: 0,
            closing: false,
            interest: EventFlags::IN,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads once if there is something to read, runs commands, writes what it can.
    pub(super) fn ready<A: Arena>(
        &mut self,
        events: EventFlags,
        table: &mut Table<A>,
        statistics: Statistics,
    ) -> Progress {
        let mut progress = Progress {
            life: Life::Open,
            commands: 0,
            bytes_written: 0,
        };
        let incoming = EventFlags::IN | EventFlags::HUP | EventFlags::ERR;
        if events.intersects(incoming) && !self.closing && self.waiting() < MAX_WAITING_BYTES {
            progress.life = self.read();
        } else if events.intersects(EventFlags::ERR) {
            progress.life = Life::Closed;
        }
        while progress.life == Life::Open {
            let ran = self.run_commands(table, statistics);
            let before = progress.bytes_written;
            progress.commands += ran;
            progress.life = self.write(&mut progress.bytes_written);
            // Commands held back by a full output go on once it is written: no event will come
            // for what has been read already.
            let moved = ran > 0 || progress.bytes_written > before;
            if !moved || self.waiting() > 0 {
                break;
            }
        }
        if self.closing && self.waiting() == 0 {
            progress.life = Life::Closed;
        }
        self.interest = self.next_interest();
        progress
    }

    fn next_interest(&self) -> EventFlags {
        let mut interest = EventFlags::empty();
        if !self.closing && self.waiting() < MAX_WAITING_BYTES {
            interest |= EventFlags::IN;
        }
        if self.waiting() > 0 {
            interest |= EventFlags::OUT;
        }
        interest
    }

    fn waiting(&self) -> usize {
        self.output.len() - self.written
    }

    fn read(&mut self) -> Life {
        self.input.reserve(READ_BYTES);
        match rustix::io::read(&self.socket, spare_capacity(&mut self.input)) {
            Ok(0) => {
                // The client may still read what it asked for.
                self.closing = true;
                Life::Open
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Life::Open,
            Err(_reset) => Life::Closed,
        }
    }

    /// Runs the whole commands in the input, until the output is full.
    fn run_commands<A: Arena>(&mut self, table: &mut Table<A>, statistics: Statistics) -> u64 {
        let mut ran = 0;
        while self.waiting() < MAX_WAITING_BYTES {
            let buffer = self.input.get(self.consumed..).unwrap_or_default();
            let length = match self.parser.parse(buffer) {
                Ok(None) => break,
                Ok(Some(length)) => length,
                Err(error) => {
                    resp::error(&mut self.output, &format!("ERR Protocol error: {error}"));
                    self.drop_input();
                    break;
                }
            };
            let arguments = Arguments {
                buffer,
                ranges: self.parser.arguments(),
            };
            let after = if arguments.is_empty() {
                After::Continue
            } else {
                execute(table, statistics, arguments, &mut self.output)
            };
            self.parser.reset();
            self.consumed += length;
            ran += 1;
            if after == After::Close {
                self.drop_input();
                break;
            }
        }
        self.compact_input();
        ran
    }

    /// Takes no more commands.
    fn drop_input(&mut self) {
        self.parser.reset();
        self.consumed = self.input.len();
        self.closing = true;
    }

    fn compact_input(&mut self) {
        if self.consumed == self.input.len() {
            self.input.clear();
            self.consumed = 0;
            self.input.shrink_to(KEPT_CAPACITY);
        } else if self.consumed >= READ_BYTES {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
    }

    fn write(&mut self, bytes_written: &mut usize) -> Life {
        while self.waiting() > 0 {
            let bytes = self.output.get(self.written..).unwrap_or_default();
            // A client that is gone must not raise SIGPIPE.
            let flags = rustix::net::SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, bytes, flags) {
                Ok(count) => {
                    self.written += count;
                    *bytes_written += count;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Life::Open,
                Err(_reset) => return Life::Closed,
            }
        }
        self.output.clear();
        self.written = 0;
        self.output.shrink_to(KEPT_CAPACITY);
        Life::Open
    }
}
