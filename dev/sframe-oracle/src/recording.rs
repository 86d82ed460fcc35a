//! A recording, in memory and in a file.
//!
//! File: zstd of little-endian words. Head: magic, machine, then code, unwind data, stack, each with address and
//! bytes. Then moments until the end: the registers, the changed words of the stack, the calls as a count of
//! kept ones and the new ones. Numbers are LEB128, registers as differences from the moment before.

use anyhow::{Context as _, Result, bail};

use crate::machine::Machine;
use crate::shadow::{Call, Caller};

const MAGIC: &[u8; 8] = b"unwdrec1";

/// Registers at an instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// The instruction.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer.
    pub fp: u64,
    /// Link register; 0 where there is none.
    pub link: u64,
}

/// A word of the stack that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Offset from the lowest address of the stack, in words.
    pub at: u32,
    /// Its bytes, as they are in memory.
    pub bytes: [u8; 8],
}

/// An instruction that is about to be executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The registers.
    pub registers: Registers,
    /// Other registers, by DWARF number.
    pub extra: Vec<(u32, u64)>,
    /// What changed on the stack since the moment before.
    pub changes: Vec<Word>,
    /// Calls that have not returned, outermost first.
    pub calls: Vec<Call>,
}

/// A program's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its processor.
    pub machine: Machine,
    /// Address of its code.
    pub text_addr: u64,
    /// Its code.
    pub text: Vec<u8>,
    /// Address of its SFrame data.
    pub sframe_addr: u64,
    /// Its SFrame data.
    pub sframe: Vec<u8>,
    /// Lowest recorded address of the stack.
    pub stack_addr: u64,
    /// The stack at the first moment, before its changes.
    pub stack: Vec<u8>,
    /// Every instruction.
    pub moments: Vec<Moment>,
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not a recording.
    pub fn read(packed: &[u8]) -> Result<Self> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed)
            .map_err(|error| anyhow::anyhow!("unpack the recording: {error}"))?;
        decoder
            .read_to_end(&mut bytes)
            .context("unpack the recording")?;
        Reader(&bytes).recording()
    }

    /// The content of a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer(MAGIC.to_vec());
        writer.recording(self);
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(&*writer.0, level)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    /// A small number for a small difference in either direction.
    fn difference(&mut self, now: u64, before: u64) {
        let difference = now.wrapping_sub(before);
        let sign = 0_u64.wrapping_sub(difference >> 63);
        self.number(difference << 1 ^ sign);
    }

    fn bytes(&mut self, addr: u64, bytes: &[u8]) {
        self.number(addr);
        self.count(bytes.len());
        self.0.extend(bytes);
    }

    fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn recording(&mut self, recording: &Recording) {
        let machine = Machine::ALL
            .iter()
            .position(|one| *one == recording.machine);
        self.count(machine.unwrap_or(0));
        self.bytes(recording.text_addr, &recording.text);
        self.bytes(recording.sframe_addr, &recording.sframe);
        self.bytes(recording.stack_addr, &recording.stack);
        self.count(recording.moments.len());
        let mut before = &Moment::default();
        for moment in &recording.moments {
            let (now, then) = (&moment.registers, &before.registers);
            self.difference(now.pc, then.pc);
            self.difference(now.sp, then.sp);
            self.difference(now.fp, then.fp);
            self.difference(now.link, then.link);
            self.count(moment.extra.len());
            for (number, value) in &moment.extra {
                self.number((*number).into());
                self.number(*value);
            }
            self.count(moment.changes.len());
            for word in &moment.changes {
                self.number(word.at.into());
                self.0.extend(word.bytes);
            }
            let pairs = moment.calls.iter().zip(&before.calls);
            let kept = pairs.take_while(|(now, then)| now == then).count();
            self.count(kept);
            self.count(moment.calls.len() - kept);
            for call in moment.calls.iter().skip(kept) {
                self.count(match call.caller {
                    Caller::Call => 0,
                    Caller::Trampoline => 1,
                    Caller::Interrupted => 2,
                });
                self.difference(call.ra, now.pc);
                self.difference(call.cfa, now.sp);
                self.difference(call.fp, now.fp);
            }
            before = moment;
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)?.first_chunk().context("cut off")?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        bail!("a number of more than 64 bits")
    }

    fn count(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.number()?)?)
    }

    fn difference(&mut self, before: u64) -> Result<u64> {
        let number = self.number()?;
        let difference = number >> 1 ^ 0_u64.wrapping_sub(number & 1);
        Ok(before.wrapping_add(difference))
    }

    fn bytes(&mut self) -> Result<(u64, Vec<u8>)> {
        let addr = self.number()?;
        let count = self.count()?;
        Ok((addr, self.take(count)?.to_vec()))
    }

    fn recording(&mut self) -> Result<Recording> {
        if self.take(MAGIC.len())? != MAGIC {
            bail!("not a recording");
        }
        let machine = *Machine::ALL
            .get(self.count()?)
            .context("a processor nobody knows")?;
        let (text_addr, text) = self.bytes()?;
        let (sframe_addr, sframe) = self.bytes()?;
        let (stack_addr, stack) = self.bytes()?;
        let count = self.count()?;
        let mut moments: Vec<Moment> = Vec::new();
        let nothing = Moment::default();
        for _ in 0..count {
            let before = moments.last().unwrap_or(&nothing);
            let moment = self.moment(before)?;
            moments.push(moment);
        }
        Ok(Recording {
            machine,
            text_addr,
            text,
            sframe_addr,
            sframe,
            stack_addr,
            stack,
            moments,
        })
    }

    fn moment(&mut self, before: &Moment) -> Result<Moment> {
        let then = &before.registers;
        let now = Registers {
            pc: self.difference(then.pc)?,
            sp: self.difference(then.sp)?,
            fp: self.difference(then.fp)?,
            link: self.difference(then.link)?,
        };
        let mut moment = Moment {
            registers: now,
            ..Moment::default()
        };
        for _ in 0..self.count()? {
            let number = u32::try_from(self.number()?)?;
            moment.extra.push((number, self.number()?));
        }
        for _ in 0..self.count()? {
            let at = u32::try_from(self.number()?)?;
            let bytes = *self.take(8)?.first_chunk().context("cut off")?;
            moment.changes.push(Word { at, bytes });
        }
        let kept = self.count()?;
        moment.calls = before
            .calls
            .get(..kept)
            .context("calls that are not there")?
            .to_vec();
        for _ in 0..self.count()? {
            let caller = match self.number()? {
                0 => Caller::Call,
                1 => Caller::Trampoline,
                _ => Caller::Interrupted,
            };
            moment.calls.push(Call {
                caller,
                ra: self.difference(now.pc)?,
                cfa: self.difference(now.sp)?,
                fp: self.difference(now.fp)?,
            });
        }
        Ok(moment)
    }
}
