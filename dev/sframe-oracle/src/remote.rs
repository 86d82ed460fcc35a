//! The client's end of GDB's remote serial protocol, as far as it takes to step and look.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A program that is stopped at an instruction.
#[derive(Debug)]
pub(crate) struct Remote {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// Why the program has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// After a step.
    Step,
    /// A signal is about to be delivered.
    Signal(u8),
    /// It has ended.
    Exit(u8),
}

/// `SIGTRAP`, by its number in the protocol.
const TRAP: u8 = 5;

impl Remote {
    /// Connects to a server that is being started.
    pub(crate) fn connect(port: u16) -> Result<Self> {
        for _ in 0..200 {
            if let Ok(writer) = TcpStream::connect(("127.0.0.1", port)) {
                writer.set_nodelay(true)?;
                writer.set_read_timeout(Some(Duration::from_secs(20)))?;
                let reader = BufReader::new(writer.try_clone()?);
                let mut remote = Self { reader, writer };
                remote.ask("qSupported")?;
                // gdbserver answers nothing before it was asked why the program has stopped.
                remote.ask("?")?;
                // QEMU gives single registers only to clients that know its description of them.
                remote.ask("qXfer:features:read:target.xml:0,ffb")?;
                return Ok(remote);
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("nothing listens at port {port}")
    }

    /// Executes an instruction, with a signal delivered if there is one.
    pub(crate) fn step(&mut self, signal: Option<u8>) -> Result<Stop> {
        let answer = match signal {
            None => self.ask("s")?,
            Some(signal) => self.ask(&format!("vCont;S{signal:02x}"))?,
        };
        let text = String::from_utf8_lossy(&answer).into_owned();
        let number = text
            .get(1..3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (text.get(..1), number) {
            (Some("T" | "S"), Some(TRAP)) => Ok(Stop::Step),
            (Some("T" | "S"), Some(signal)) => Ok(Stop::Signal(signal)),
            (Some("W"), Some(code)) => Ok(Stop::Exit(code)),
            _ => bail!("the program stopped with {text}"),
        }
    }

    /// Every register, one behind the other.
    pub(crate) fn registers(&mut self) -> Result<Vec<u8>> {
        hex(&self.ask("g")?)
    }

    /// One register.
    pub(crate) fn register(&mut self, number: u32) -> Result<Vec<u8>> {
        hex(&self.ask(&format!("p{number:x}"))?)
    }

    pub(crate) fn memory(&mut self, addr: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Servers have packets of a few kilobytes.
        while bytes.len() < len {
            let piece = (len - bytes.len()).min(1024);
            let at = addr + u64::try_from(bytes.len())?;
            let answer = hex(&self.ask(&format!("m{at:x},{piece:x}"))?)?;
            if answer.is_empty() {
                bail!("no memory at {at:#x}");
            }
            bytes.extend(answer);
        }
        Ok(bytes)
    }

    fn ask(&mut self, question: &str) -> Result<Vec<u8>> {
        let sum = question.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.writer, "${question}#{sum:02x}")?;
        let answer = self
            .packet()
            .with_context(|| format!("answer to {question}"))?;
        self.writer.write_all(b"+")?;
        Ok(answer)
    }

    /// The next packet; acknowledgements in front of it are read past.
    fn packet(&mut self) -> Result<Vec<u8>> {
        while self.byte()? != b'$' {}
        let mut packet = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                // Run length: the last byte again.
                b'*' => {
                    let count = self.byte()?.saturating_sub(29);
                    let last = packet.last().copied().context("a repetition of nothing")?;
                    packet.extend(std::iter::repeat_n(last, count.into()));
                }
                b'}' => {
                    let byte = self.byte()?;
                    packet.push(byte ^ 0x20);
                }
                byte => packet.push(byte),
            }
        }
        let _sum = (self.byte()?, self.byte()?);
        Ok(packet)
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

/// Bytes of hexadecimal digits; of an unknown register, written as `x`, zeros.
fn hex(text: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(text)?.replace('x', "0");
    if text.starts_with('E') {
        bail!("error {text}");
    }
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.chunks_exact(2).map(|pair| match pair {
        [Some(high), Some(low)] => Ok(u8::try_from(high * 16 + low)?),
        _ => bail!("not hexadecimal: {text}"),
    });
    pairs.collect()
}
