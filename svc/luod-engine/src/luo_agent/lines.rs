//! Reading lines: as long as they may be, and ended within a time.

use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use luod_api::{Code, Refusal};

use super::message::{Command, LONGEST_LINE};

/// Lines of a client, one after the other.
#[derive(Debug)]
pub struct CommandLines<R> {
    input: R,
    patience: Duration,
}

impl<R: BufRead> CommandLines<R> {
    /// Reads from `input`, where a line that was begun has to end within `patience`: for that reads of `input` must time
    /// out, now and then.
    pub const fn new(input: R, patience: Duration) -> Self {
        Self { input, patience }
    }

    /// The next command, or why there is none in the next line; `None` when the client hung up between two lines.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for a line of more than 16 KiB or without end, [`io::ErrorKind::TimedOut`] for one
    /// that does not come to its end; what reading says. Nothing can be read afterwards.
    pub fn next_command(&mut self) -> io::Result<Option<Result<Command, Refusal>>> {
        let mut line = Vec::new();
        let mut begun: Option<Instant> = None;
        loop {
            if begun.is_some_and(|begun| begun.elapsed() > self.patience) {
                let text = format!("a line did not end within {} s", self.patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            let there = match self.input.fill_buf() {
                Ok(there) => there,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut => continue,
                    _ => return Err(error),
                },
            };
            if there.is_empty() && line.is_empty() {
                return Ok(None);
            }
            let end = there.iter().position(|&byte| byte == b'\n');
            let wanted = end.unwrap_or(there.len());
            let has_room = line.len().saturating_add(wanted) < LONGEST_LINE;
            if there.is_empty() || !has_room {
                let text = format!("a line has more than {LONGEST_LINE} bytes, or no end");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            line.extend_from_slice(there.get(..wanted).unwrap_or_default());
            match end {
                None => self.input.consume(wanted),
                Some(end) => {
                    self.input.consume(end.saturating_add(1));
                    return Ok(Some(parse(&line)));
                }
            }
            begun.get_or_insert_with(Instant::now);
        }
    }
}

fn parse(line: &[u8]) -> Result<Command, Refusal> {
    serde_json::from_slice(line).map_err(|error| Refusal::new(Code::InvalidParameter, error))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    const READY: &[u8] = b"{\"cmd\":\"READY\"}\n";
    const PATIENCE: Duration = Duration::from_secs(3600);

    /// A line of this many bytes, its end included.
    fn ready(bytes: usize) -> Vec<u8> {
        let mut line = vec![b' '; bytes - READY.len()];
        line.extend_from_slice(READY);
        line
    }

    #[test]
    fn the_longest_line_is_taken_and_one_byte_more_is_not() {
        let longest = ready(LONGEST_LINE);
        let mut lines = CommandLines::new(&*longest, PATIENCE);
        let command = lines.next_command().unwrap().unwrap().unwrap();
        assert_eq!(command, Command::Ready);
        assert!(lines.next_command().unwrap().is_none());
        let error = CommandLines::new(&*ready(LONGEST_LINE + 1), PATIENCE).next_command();
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = [READY, b"nonsense\n", READY].concat();
        for size in 1..text.len() {
            let mut lines = CommandLines::new(BufReader::with_capacity(size, &*text), PATIENCE);
            let mut next = || lines.next_command().unwrap();
            assert_eq!(next().unwrap().unwrap(), Command::Ready);
            assert!(next().unwrap().is_err());
            assert_eq!(next().unwrap().unwrap(), Command::Ready);
            assert!(next().is_none());
        }
    }

    /// A client that sends a byte now and then, for ever.
    struct Slow;

    impl io::Read for Slow {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            bytes[..1].fill(b' ');
            Ok(1)
        }
    }

    #[test]
    fn a_line_that_was_begun_has_to_end() {
        let mut lines = CommandLines::new(BufReader::new(Slow), Duration::ZERO);
        let error = lines.next_command().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// A client that has nothing to say yet, and then has.
    struct Quiet {
        turns: u32,
    }

    impl io::Read for Quiet {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            if self.turns > 0 {
                self.turns -= 1;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            bytes[..READY.len()].copy_from_slice(READY);
            Ok(READY.len())
        }
    }

    #[test]
    fn a_client_may_say_nothing_for_as_long_as_it_likes() {
        let quiet = BufReader::new(Quiet { turns: 100 });
        let mut lines = CommandLines::new(quiet, Duration::ZERO);
        assert_eq!(
            lines.next_command().unwrap().unwrap().unwrap(),
            Command::Ready
        );
    }
}
