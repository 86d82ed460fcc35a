//! What each command does.

use core::fmt::Write as _;
use core::ops::Range;

use crate::arena::Arena;
use crate::resp;
use crate::table::{Deletion, Storing, Table, TableError};

/// The words of a request.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    /// Bytes the ranges point into.
    pub buffer: &'a [u8],
    /// One range for each word.
    pub ranges: &'a [Range<usize>],
}

impl<'a> Arguments<'a> {
    /// Number of words.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The word at `index`, empty if there is none.
    #[must_use]
    pub fn word(&self, index: usize) -> &'a [u8] {
        let range = self.ranges.get(index).cloned().unwrap_or(0..0);
        self.buffer.get(range).unwrap_or_default()
    }

    /// The words after the command's name.
    fn rest(self) -> impl Iterator<Item = &'a [u8]> {
        (1..self.len()).map(move |index| self.word(index))
    }
}

/// What happens to the connection after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    Continue,
    /// It is closed once the reply is written.
    Close,
}

/// What commands say about the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections open now.
    pub connections: usize,
    /// Commands answered since the start.
    pub commands: u64,
}

/// Runs one command and appends its reply.
pub fn execute<A: Arena>(
    table: &mut Table<A>,
    statistics: Statistics,
    arguments: Arguments<'_>,
    out: &mut Vec<u8>,
) -> After {
    let start = out.len();
    match dispatch(table, statistics, arguments, out) {
        Ok(after) => after,
        Err(error) => {
            // A reply may have been begun.
            out.truncate(start);
            resp::error(out, &format!("ERR the arena is corrupt: {error}"));
            After::Continue
        }
    }
}

fn dispatch<A: Arena>(
    table: &mut Table<A>,
    statistics: Statistics,
    arguments: Arguments<'_>,
    out: &mut Vec<u8>,
) -> Result<After, TableError> {
    let mut name = [0u8; 16];
    let word = arguments.word(0);
    let upper = match name.get_mut(..word.len()) {
        Some(upper) => {
            upper.copy_from_slice(word);
            upper.make_ascii_uppercase();
            &*upper
        }
        None => &[],
    };
    match (upper, arguments.len()) {
        (b"GET", 2) => get(table, arguments.word(1), out)?,
        (b"SET", 3) => set(table, arguments.word(1), arguments.word(2), out)?,
        (b"SET", 4..) => resp::error(out, "ERR syntax error: SET takes no options here"),
        (b"PING", 1) => resp::simple(out, "PONG"),
        (b"PING", 2) => resp::bulk(out, arguments.word(1)),
        (b"DEL", 2..) => {
            let mut count = 0;
            for key in arguments.rest() {
                count += u64::from(table.delete(key)? == Deletion::Deleted);
            }
            resp::integer(out, count);
        }
        (b"EXISTS", 2..) => {
            let mut count = 0;
            for key in arguments.rest() {
                count += u64::from(table.get(key)?.is_some());
            }
            resp::integer(out, count);
        }
        (b"DBSIZE", 1) => resp::integer(out, table.entries()?),
        (b"INFO", _) => resp::bulk(out, info(table, statistics)?.as_bytes()),
        (b"FLUSHALL", 1) => {
            table.flush()?;
            resp::simple(out, "OK");
        }
        (b"FLUSHALL", _) => resp::error(out, "ERR syntax error: FLUSHALL takes no options here"),
        (b"QUIT", _) => {
            resp::simple(out, "OK");
            return Ok(After::Close);
        }
        (b"COMMAND", _) => resp::array(out, 0),
        (b"CONFIG", 3) if arguments.word(1).eq_ignore_ascii_case(b"GET") => {
            config_get(table, arguments.word(2), out);
        }
        (b"CONFIG", _) => resp::error(out, "ERR only CONFIG GET with one name is supported"),
        (b"GET" | b"SET" | b"PING" | b"DEL" | b"EXISTS" | b"DBSIZE", _) => {
            let name = String::from_utf8_lossy(upper).to_lowercase();
            resp::error(
                out,
                &format!("ERR wrong number of arguments for '{name}' command"),
            );
        }
        _ => unknown(word, out),
    }
    Ok(After::Continue)
}

fn unknown(name: &[u8], out: &mut Vec<u8>) {
    let shown = name.get(..name.len().min(64)).unwrap_or_default();
    let name = String::from_utf8_lossy(shown);
    resp::error(out, &format!("ERR unknown command '{name}'"));
}

fn get<A: Arena>(table: &Table<A>, key: &[u8], out: &mut Vec<u8>) -> Result<(), TableError> {
    let Some(value) = table.get(key)? else {
        resp::null(out);
        return Ok(());
    };
    resp::bulk_header(out, value.len());
    table.append_value(value, out)?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn set<A: Arena>(
    table: &mut Table<A>,
    key: &[u8],
    value: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), TableError> {
    match table.set(key, value)? {
        Storing::Stored => resp::simple(out, "OK"),
        Storing::Full => resp::error(
            out,
            "OOM command not allowed when used memory > 'maxmemory'.",
        ),
        Storing::TooLong => resp::error(out, "ERR key is longer than 65536 bytes"),
    }
    Ok(())
}

fn info<A: Arena>(table: &Table<A>, statistics: Statistics) -> Result<String, TableError> {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write!(
        text,
        "# Server\r\nkvcache_version:{}\r\nprocess_id:{}\r\n\
         # Clients\r\nconnected_clients:{}\r\n\
         # Memory\r\nused_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n\
         # Stats\r\ntotal_commands_processed:{}\r\n\
         # Arena\r\narena_generation:{}\r\n\
         # Keyspace\r\ndb0:keys={},expires=0\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        statistics.connections,
        table.used_bytes()?,
        table.arena_bytes(),
        statistics.commands,
        table.generation()?,
        table.entries()?,
    );
    Ok(text)
}

/// Answers what redis-benchmark asks: nothing is written to a disk here.
fn config_get<A>(table: &Table<A>, name: &[u8], out: &mut Vec<u8>)
where
    A: Arena,
{
    let value = match name.to_ascii_lowercase().as_slice() {
        b"save" => String::new(),
        b"appendonly" => "no".to_owned(),
        b"maxmemory" => table.arena_bytes().to_string(),
        b"maxmemory-policy" => "noeviction".to_owned(),
        _ => {
            resp::array(out, 0);
            return;
        }
    };
    resp::array(out, 2);
    resp::bulk(out, &name.to_ascii_lowercase());
    resp::bulk(out, value.as_bytes());
}
