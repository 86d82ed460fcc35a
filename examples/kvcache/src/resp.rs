//! The Redis protocol, version 2: reading requests, writing replies.
//!
//! A request is an array of bulk strings, or one line of words ("inline", without quoting).

use core::ops::Range;
use std::io::Write as _;

use crate::table::MAX_VALUE_BYTES;

/// Words one request may have.
pub const MAX_ARGUMENTS: usize = 64 << 10;
/// Bytes of one word.
pub const MAX_BULK_BYTES: usize = MAX_VALUE_BYTES;
/// Bytes of all words of a request together.
pub const MAX_REQUEST_BYTES: usize = 2 * MAX_BULK_BYTES;
/// Bytes of a line: an inline request or a length.
pub const MAX_LINE_BYTES: usize = 64 << 10;

/// A request that breaks the protocol; the connection cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The number of words is none, or too large.
    #[error("invalid multibulk length")]
    ArgumentCount,
    /// The length of a word is none, or too large.
    #[error("invalid bulk length")]
    BulkLength,
    /// Something else where a word's length should be.
    #[error("expected '$', got '{}'", char::from(*found).escape_default())]
    NotABulk {
        /// What is there.
        found: u8,
    },
    /// A word does not end where its length says.
    #[error("bulk string not followed by CRLF")]
    BulkEnd,
    /// A line does not end.
    #[error("too big inline request")]
    LineTooLong,
    /// The words of one request are too long together.
    #[error("request of more than {MAX_REQUEST_BYTES} bytes")]
    RequestTooLong,
}

/// Reads requests piece by piece; what was read is not read again when more arrives.
#[derive(Debug, Default)]
pub struct Parser {
    arguments: Vec<Range<usize>>,
    /// Bytes of the request read so far.
    position: usize,
    /// Words of an array still to come.
    missing: Option<usize>,
    bulk_bytes: usize,
}

impl Parser {
    /// Reads on in `buffer`, which starts with the request; returns its length once it is whole.
    ///
    /// # Errors
    ///
    /// When it is no request.
    pub fn parse(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if self.missing.is_none() {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some(count) = self.length(buffer, ProtocolError::ArgumentCount)? else {
                        return Ok(None);
                    };
                    if count.is_some_and(|count| count > MAX_ARGUMENTS) {
                        return Err(ProtocolError::ArgumentCount);
                    }
                    self.missing = Some(count.unwrap_or(0));
                }
                Some(_) => return self.inline(buffer),
            }
        }
        while self.missing.is_some_and(|missing| missing > 0) {
            if !self.bulk(buffer)? {
                return Ok(None);
            }
            self.missing = self.missing.map(|missing| missing - 1);
        }
        Ok(Some(self.position))
    }

    /// Words of the request that [`parse`](Self::parse) completed; none for an empty line.
    #[must_use]
    pub fn arguments(&self) -> &[Range<usize>] {
        &self.arguments
    }

    /// Gets ready for the next request.
    pub fn reset(&mut self) {
        self.arguments.clear();
        self.position = 0;
        self.missing = None;
        self.bulk_bytes = 0;
    }

    /// Reads one word; false when it is not whole yet.
    fn bulk(&mut self, buffer: &[u8]) -> Result<bool, ProtocolError> {
        let start = self.position;
        match buffer.get(start) {
            None => return Ok(false),
            Some(b'$') => {}
            Some(found) => return Err(ProtocolError::NotABulk { found: *found }),
        }
        let Some(length) = self.length(buffer, ProtocolError::BulkLength)? else {
            return Ok(false);
        };
        let length = length
            .filter(|length| *length <= MAX_BULK_BYTES)
            .ok_or(ProtocolError::BulkLength)?;
        if self.bulk_bytes + length > MAX_REQUEST_BYTES {
            return Err(ProtocolError::RequestTooLong);
        }
        let word = self.position..self.position + length;
        let Some(end) = buffer.get(word.end..word.end + 2) else {
            // The length is read again; the word is not looked at.
            self.position = start;
            return Ok(false);
        };
        if end != b"\r\n" {
            return Err(ProtocolError::BulkEnd);
        }
        self.bulk_bytes += length;
        self.position = word.end + 2;
        self.arguments.push(word);
        Ok(true)
    }

    /// Reads a type byte and a decimal number up to CRLF; `Some(None)` for a negative one.
    fn length(
        &mut self,
        buffer: &[u8],
        error: ProtocolError,
    ) -> Result<Option<Option<usize>>, ProtocolError> {
        let line = buffer.get(self.position + 1..).unwrap_or_default();
        // No number has more digits; a longer line is an error at once.
        let window = line.get(..line.len().min(24)).unwrap_or_default();
        let Some(end) = window.iter().position(|byte| *byte == b'\r') else {
            return if window.len() < 24 {
                Ok(None)
            } else {
                Err(error)
            };
        };
        match window.get(end + 1) {
            None if line.len() <= end + 1 => return Ok(None),
            Some(b'\n') => {}
            _ => return Err(error),
        }
        let text = window.get(..end).unwrap_or_default();
        let number: i64 = core::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(error)?;
        self.position += end + 3;
        Ok(Some(usize::try_from(number).ok()))
    }

    /// Reads a line of words.
    fn inline(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let window = buffer
            .get(..buffer.len().min(MAX_LINE_BYTES))
            .unwrap_or_default();
        let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
            return if window.len() < MAX_LINE_BYTES {
                Ok(None)
            } else {
                Err(ProtocolError::LineTooLong)
            };
        };
        let mut word_start = None;
        for (index, byte) in window.iter().enumerate().take(end + 1) {
            if byte.is_ascii_whitespace() {
                if let Some(start) = word_start.take() {
                    self.arguments.push(start..index);
                }
            } else if word_start.is_none() {
                word_start = Some(index);
            }
        }
        Ok(Some(end + 1))
    }
}

/// Appends `+text`.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text);
}

/// Appends `-text`; control characters become spaces, so that it stays one line.
pub fn error(out: &mut Vec<u8>, text: &str) {
    out.push(b'-');
    out.extend(
        text.bytes()
            .map(|byte| if byte < b' ' { b' ' } else { byte }),
    );
    out.extend_from_slice(b"\r\n");
}

/// Appends `:number`.
pub fn integer(out: &mut Vec<u8>, number: u64) {
    header(out, b':', number);
}

/// Appends the header of an array of `count` replies.
pub fn array(out: &mut Vec<u8>, count: usize) {
    header(out, b'*', u64::try_from(count).unwrap_or(u64::MAX));
}

/// Appends a bulk string.
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    bulk_header(out, bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends the header of a bulk string; its bytes and CRLF are the caller's to append.
pub fn bulk_header(out: &mut Vec<u8>, len: usize) {
    header(out, b'$', u64::try_from(len).unwrap_or(u64::MAX));
}

/// Appends the absent value.
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn header(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    // Writing to a vector cannot fail.
    let _infallible = write!(out, "{number}\r\n");
}

#[cfg(test)]
mod tests;
