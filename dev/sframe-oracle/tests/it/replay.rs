//! Recordings played back: registers and memory at each instruction.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a recording that is not as it should be fails the test"
)]

use std::path::PathBuf;

use sframe_oracle::{Called, Machine, Moment, Recording};
use sframe_unwind::{Placement, Section};

pub(crate) fn recording(name: &str) -> Recording {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let packed = std::fs::read(folder.join(format!("{name}.zst"))).expect(name);
    Recording::read(&packed).expect(name)
}

pub(crate) fn section(recording: &Recording) -> Section<'_> {
    let placement = Placement {
        section_addr: recording.sframe_addr,
    };
    Section::parse(&recording.sframe, placement).unwrap()
}

/// Memory of a program at an instruction.
#[derive(Clone, Debug)]
pub(crate) struct Memory<'a> {
    code: &'a [u8],
    pub(crate) machine: Machine,
    pub(crate) stack_addr: u64,
    pub(crate) stack: Vec<u8>,
    pub(crate) text: std::ops::Range<u64>,
}

impl Memory<'_> {
    pub(crate) fn stack_range(&self) -> std::ops::Range<u64> {
        self.stack_addr..self.stack_addr + u64::try_from(self.stack.len()).unwrap()
    }

    /// What the instruction in front of an address calls.
    pub(crate) fn call_before(&self, ra: u64) -> Option<Called> {
        let len = usize::try_from(ra.checked_sub(self.text.start)?).ok()?;
        self.machine.call_before(self.code.get(..len)?, ra)
    }

    fn index(&self, addr: u64) -> Option<usize> {
        usize::try_from(addr.checked_sub(self.stack_addr)?).ok()
    }

    pub(crate) fn read(&self, addr: u64) -> Option<u64> {
        let bytes = self.stack.get(self.index(addr)?..)?.first_chunk()?;
        Some(self.machine.word(*bytes))
    }

    pub(crate) fn write(&mut self, addr: u64, word: u64) {
        let at = self.index(addr).unwrap();
        let bytes = match self.machine {
            Machine::S390x => word.to_be_bytes(),
            Machine::Aarch64 | Machine::X86_64 => word.to_le_bytes(),
        };
        self.stack
            .get_mut(at..at + 8)
            .unwrap()
            .copy_from_slice(&bytes);
    }
}

/// Gives each instruction with the memory at it.
pub(crate) fn play(recording: &Recording, mut moment_fn: impl FnMut(&Moment, &Memory<'_>)) {
    let end = recording.text_addr + u64::try_from(recording.text.len()).unwrap();
    let mut memory = Memory {
        code: &recording.text,
        machine: recording.machine,
        stack_addr: recording.stack_addr,
        stack: recording.stack.clone(),
        text: recording.text_addr..end,
    };
    for moment in &recording.moments {
        for word in &moment.changes {
            let at = usize::try_from(word.at).unwrap() * 8;
            memory
                .stack
                .get_mut(at..at + 8)
                .unwrap()
                .copy_from_slice(&word.bytes);
        }
        moment_fn(moment, &memory);
    }
}
