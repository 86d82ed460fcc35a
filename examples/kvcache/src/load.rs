//! Fills a server with known data and verifies every byte of it.
//!
//! Keys and values follow from a seed and an index, so that the verifying side needs nothing from
//! the filling side.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// Commands on their way at once.
const PIPELINE: u64 = 128;
/// Mismatches that are named; the others are counted.
const NAMED: usize = 10;
/// Longest line of a reply that is read.
const MAX_REPLY_LINE: u64 = 4096;

/// What to fill in, or to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data {
    /// Number of keys.
    pub keys: u64,
    /// Bytes of every value.
    pub value_bytes: usize,
    /// Different seeds give different keys and values.
    pub seed: u64,
}

/// Why filling or verifying could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The server cannot be reached, or went away.
    #[error("connection to the server")]
    Connection(#[from] io::Error),
    /// A value was not taken.
    #[error("server did not take key {index}: {reply}")]
    Refused {
        /// Index of the key.
        index: u64,
        /// What it answered.
        reply: String,
    },
    /// The answer is none a server gives.
    #[error("server answered {reply:?} for key {index}")]
    Reply {
        /// Index of the key.
        index: u64,
        /// What it answered.
        reply: String,
    },
}

/// Outcome of [`verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Keys with the right value.
    pub right: u64,
    /// Keys without a value.
    pub missing: u64,
    /// Keys with another value.
    pub wrong: u64,
    /// The first keys that are missing or wrong, in words.
    pub named: Vec<String>,
}

impl Verification {
    /// Whether every key has its value.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing == 0 && self.wrong == 0
    }
}

impl Data {
    /// Replaces `key` by the key at `index`.
    pub fn key(&self, index: u64, key: &mut Vec<u8>) {
        key.clear();
        let _infallible = write!(key, "key:{:x}:{index:010}", self.seed);
    }

    /// Replaces `value` by the value at `index`.
    pub fn value(&self, index: u64, value: &mut Vec<u8>) {
        value.clear();
        let mut state = self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        while value.len() < self.value_bytes {
            value.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        value.truncate(self.value_bytes);
    }
}

/// The `SplitMix64` generator (Steele, Lea, Flood, 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A connection to a server.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Connects to `host:port`, or to a Unix socket when the address has a slash.
///
/// # Errors
///
/// When nobody answers there.
pub fn connect(address: &str) -> io::Result<Box<dyn Stream>> {
    if address.contains('/') {
        return Ok(Box::new(UnixStream::connect(address)?));
    }
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Stores all of `data`.
///
/// # Errors
///
/// When the server is gone or does not take a value.
pub fn fill(stream: &mut dyn Stream, data: Data) -> Result<(), LoadError> {
    let mut replies = BufReader::with_capacity(1 << 16, stream);
    let (mut request, mut key, mut value) = (Vec::new(), Vec::new(), Vec::new());
    let mut line = Vec::new();
    for start in (0..data.keys).step_by(step()) {
        let batch = start..data.keys.min(start + PIPELINE);
        request.clear();
        for index in batch.clone() {
            data.key(index, &mut key);
            data.value(index, &mut value);
            crate::resp::array(&mut request, 3);
            for word in [b"SET".as_slice(), &key, &value] {
                crate::resp::bulk(&mut request, word);
            }
        }
        replies.get_mut().write_all(&request)?;
        for index in batch {
            read_line(&mut replies, &mut line)?;
            if line != b"+OK" {
                let reply = String::from_utf8_lossy(&line).into_owned();
                return Err(LoadError::Refused { index, reply });
            }
        }
    }
    Ok(())
}

/// Reads all of `data` back and compares every byte.
///
/// # Errors
///
/// When the server is gone or does not speak the protocol; differences are in the outcome.
pub fn verify(stream: &mut dyn Stream, data: Data) -> Result<Verification, LoadError> {
    let mut replies = BufReader::with_capacity(1 << 16, stream);
    let (mut request, mut key, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    let (mut line, mut found) = (Vec::new(), Vec::new());
    let mut outcome = Verification::default();
    for start in (0..data.keys).step_by(step()) {
        let batch = start..data.keys.min(start + PIPELINE);
        request.clear();
        for index in batch.clone() {
            data.key(index, &mut key);
            crate::resp::array(&mut request, 2);
            for word in [b"GET".as_slice(), &key] {
                crate::resp::bulk(&mut request, word);
            }
        }
        replies.get_mut().write_all(&request)?;
        for index in batch {
            read_line(&mut replies, &mut line)?;
            let problem = match bulk_length(&line) {
                Some(-1) => Some(Problem::Missing),
                Some(length) if usize::try_from(length).is_ok_and(|len| len <= 1 << 25) => {
                    found.resize(usize::try_from(length).unwrap_or(0) + 2, 0);
                    replies.read_exact(&mut found)?;
                    found.truncate(found.len() - 2);
                    data.value(index, &mut expected);
                    difference(&expected, &found).map(Problem::Wrong)
                }
                _ => {
                    let reply = String::from_utf8_lossy(&line).into_owned();
                    return Err(LoadError::Reply { index, reply });
                }
            };
            data.key(index, &mut key);
            outcome.count(&key, problem);
        }
    }
    Ok(outcome)
}

/// What is wrong with a key.
enum Problem {
    Missing,
    Wrong(String),
}

impl Verification {
    fn count(&mut self, key: &[u8], problem: Option<Problem>) {
        let what = match problem {
            None => {
                self.right += 1;
                return;
            }
            Some(Problem::Missing) => {
                self.missing += 1;
                "is missing".to_owned()
            }
            Some(Problem::Wrong(how)) => {
                self.wrong += 1;
                how
            }
        };
        if self.named.len() < NAMED {
            let key = String::from_utf8_lossy(key);
            self.named.push(format!("{key} {what}"));
        }
    }
}

/// Number after the `$` of a reply.
fn bulk_length(line: &[u8]) -> Option<i64> {
    let digits = line.strip_prefix(b"$")?;
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// How a value differs, in words.
fn difference(expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let place = expected.iter().zip(found).position(|(a, b)| a != b);
    Some(match place {
        Some(place) => format!("differs from byte {place} on"),
        None => format!("has {} bytes instead of {}", found.len(), expected.len()),
    })
}

/// Reads one line of a reply, without its end.
fn read_line(replies: &mut BufReader<&mut dyn Stream>, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    replies
        .by_ref()
        .take(MAX_REPLY_LINE)
        .read_until(b'\n', line)?;
    if !line.ends_with(b"\r\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.len() - 2);
    Ok(())
}

/// [`PIPELINE`] as a step.
fn step() -> usize {
    usize::try_from(PIPELINE).unwrap_or(1)
}
