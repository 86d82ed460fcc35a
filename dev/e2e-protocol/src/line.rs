//! Lines on a byte stream that may lose its middle.

use std::io::{self, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest line that is kept. Two outputs of [`crate::OUTPUT_LIMIT`] whose every byte needs the
/// six characters of a JSON escape fit in it.
pub const LINE_LIMIT: usize = 16 << 20;

/// Bytes taken from the stream at once.
const READ_SIZE: usize = 64 << 10;

/// One line of the peer.
#[derive(Debug, PartialEq)]
pub enum Received<T> {
    /// A message.
    Message(T),
    /// A line that is no message: cut short by a kexec, or longer than [`LINE_LIMIT`]. Its first
    /// bytes, for the log.
    Garbage(Vec<u8>),
}

/// Writes `message` as one line, with a line break in front: it ends what a previous kernel may
/// have left half written.
///
/// # Errors
/// Only if `message` cannot be JSON (a map with keys that are no strings).
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = vec![b'\n'];
    serde_json::to_writer(&mut line, message)?;
    line.push(b'\n');
    Ok(line)
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct LineReader<R> {
    stream: R,
    pending: Vec<u8>,
    /// How much of `pending` is known to hold no line break.
    searched: usize,
    /// The present line is longer than the limit: its first bytes.
    overlong: Option<Vec<u8>>,
}

impl<R: Read> LineReader<R> {
    /// Reads lines from `stream`.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            pending: Vec::new(),
            searched: 0,
            overlong: None,
        }
    }

    /// Waits for the next line that is not empty; `None` at the end of the stream.
    ///
    /// # Errors
    /// What the stream's `read` says, interruptions aside.
    pub fn read<T: DeserializeOwned>(&mut self) -> io::Result<Option<Received<T>>> {
        loop {
            while let Some(line) = self.take_line() {
                if let Some(start) = self.overlong.take() {
                    return Ok(Some(Received::Garbage(start)));
                }
                if !line.is_empty() {
                    return Ok(Some(parse(&line)));
                }
            }
            let mut chunk = vec![0; READ_SIZE];
            let len = match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if len == 0 {
                return Ok(None);
            }
            chunk.truncate(len);
            self.pending.append(&mut chunk);
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let unsearched = self.pending.get(self.searched..).unwrap_or_default();
        if let Some(found) = unsearched.iter().position(|byte| *byte == b'\n') {
            let rest = self.pending.split_off(self.searched + found + 1);
            let mut line = std::mem::replace(&mut self.pending, rest);
            line.pop();
            self.searched = 0;
            return Some(line);
        }
        self.searched = self.pending.len();
        if self.pending.len() > LINE_LIMIT {
            self.overlong.get_or_insert_with(|| start_of(&self.pending));
            self.pending.clear();
            self.searched = 0;
        }
        None
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Received<T> {
    match serde_json::from_slice(line) {
        Ok(message) => Received::Message(message),
        Err(_not_a_message) => Received::Garbage(start_of(line)),
    }
}

fn start_of(line: &[u8]) -> Vec<u8> {
    line.iter().take(200).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, ToGuest};

    fn call(id: u64) -> ToGuest {
        ToGuest::Call {
            id,
            request: Request::CollectLogs,
        }
    }

    #[test]
    fn message_after_a_torn_line_is_read() {
        let mut stream = encode(&call(1)).unwrap();
        stream.extend_from_slice(br#"{"call":{"id":2,"requ"#);
        stream.extend(encode(&call(3)).unwrap());
        let mut reader = LineReader::new(stream.as_slice());
        assert_eq!(reader.read().unwrap(), Some(Received::Message(call(1))));
        let torn = br#"{"call":{"id":2,"requ"#.to_vec();
        assert_eq!(
            reader.read::<ToGuest>().unwrap(),
            Some(Received::Garbage(torn))
        );
        assert_eq!(reader.read().unwrap(), Some(Received::Message(call(3))));
        assert_eq!(reader.read::<ToGuest>().unwrap(), None);
    }

    #[test]
    fn endless_line_is_dropped_without_being_kept() {
        let endless = vec![b'x'; LINE_LIMIT * 2 + 10];
        let after = encode(&call(7)).unwrap();
        let mut reader = LineReader::new(endless.chain(after.as_slice()));
        assert_eq!(
            reader.read::<ToGuest>().unwrap(),
            Some(Received::Garbage(vec![b'x'; 200]))
        );
        assert!(reader.pending.capacity() <= LINE_LIMIT + 2 * READ_SIZE + LINE_LIMIT);
        assert_eq!(reader.read().unwrap(), Some(Received::Message(call(7))));
    }
}
