//! A client of memcached, by its text protocol: fills it, and compares what it has.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::content::seed;
use crate::say;

/// Longest wait for the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which server, and what of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Its socket.
    #[arg(long)]
    socket: PathBuf,
    /// How many keys.
    #[arg(long)]
    keys: u32,
    /// Write them.
    #[arg(long)]
    fill: bool,
}

/// Fills or compares.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut server = Server::connect(arguments)?;
    for number in 0..arguments.keys {
        match arguments.fill {
            true => server.set(number)?,
            false => server.get(number)?,
        }
    }
    let done = if arguments.fill { "filled" } else { "verified" };
    say!("{done} {} keys", arguments.keys);
    Ok(())
}

/// 200 to 1200 bytes that no other key has.
fn value(number: u32) -> Vec<u8> {
    let mut word = seed("memcached", &number.to_string());
    let length = 200 + usize::try_from(word % 1000).unwrap_or(0);
    let byte = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        word.to_be_bytes()[0]
    };
    std::iter::repeat_with(byte).take(length).collect()
}

struct Server {
    input: BufReader<UnixStream>,
    output: UnixStream,
}

impl Server {
    fn connect(arguments: &Arguments) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let output = loop {
            match UnixStream::connect(&arguments.socket) {
                Ok(stream) => break stream,
                Err(_error) if begin.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error).context("connect to memcached"),
            }
        };
        let input = BufReader::new(output.try_clone()?);
        Ok(Self { input, output })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn set(&mut self, number: u32) -> anyhow::Result<()> {
        let value = value(number);
        write!(
            self.output,
            "set key-{number} {number} 0 {}\r\n",
            value.len()
        )?;
        self.output.write_all(&value)?;
        self.output.write_all(b"\r\n")?;
        let answer = self.line()?;
        ensure!(answer == "STORED", "key {number}: {answer}");
        Ok(())
    }

    fn get(&mut self, number: u32) -> anyhow::Result<()> {
        let expected = value(number);
        write!(self.output, "get key-{number}\r\n")?;
        let head = self.line()?;
        let wanted = format!("VALUE key-{number} {number} {}", expected.len());
        ensure!(head == wanted, "key {number}: {head:?}, not {wanted:?}");
        let mut found = vec![0; expected.len() + 2];
        self.input.read_exact(&mut found)?;
        ensure!(
            found.strip_suffix(b"\r\n") == Some(&expected),
            "key {number} has another value"
        );
        let end = self.line()?;
        ensure!(end == "END", "key {number}: {end}");
        Ok(())
    }
}
