//! [`Transcript`]: what a checksum is taken over.

use alloc::vec::Vec;

use elf_index::SectionId;
use xxhash_rust::xxh3::xxh3_64;

/// Which rule a checksum follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// That of `objtool klp checksum` (v7.3).
    Objtool,
    /// Everything that a function means.
    Content,
}

/// Why bytes are part of a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// An instruction, or its opcode where the rest depends on its place.
    Instruction,
    /// The name of what is referred to.
    TargetName,
    /// The place in what is referred to.
    TargetOffset,
    /// The string that is referred to.
    String,
    /// The constant that is referred to.
    Constant,
    /// The kind of an alternative.
    AlternativeKind,
    /// What chooses an alternative.
    AlternativeFeature,
    /// The size of an object.
    Length,
    /// The bytes of an object.
    Data,
    /// The type and place of a relocation.
    Relocation,
    /// That data without a name is referred to, and where.
    UnnamedPlace,
    /// Data without a name that is referred to.
    Unnamed,
    /// An entry of a special section.
    SpecialEntry,
}

/// Some bytes with their place and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Section of what they are about.
    pub section: SectionId,
    /// Offset in it.
    pub offset: u64,
    /// Why they are there.
    pub reason: Reason,
    /// One past the last byte in the transcript.
    pub end: usize,
}

/// What a checksum is taken over. Can be used again after [`Transcript::clear`].
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    bytes: Vec<u8>,
    steps: Option<Vec<Step>>,
}

impl Transcript {
    /// One that keeps the bytes only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that keeps the steps, too.
    #[must_use]
    pub fn with_steps() -> Self {
        Self {
            bytes: Vec::new(),
            steps: Some(Vec::new()),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if let Some(steps) = &mut self.steps {
            steps.clear();
        }
    }

    /// XXH3-64 of all bytes.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        xxh3_64(&self.bytes)
    }

    /// XXH3-64 of the bytes up to a step.
    #[must_use]
    pub fn checksum_after(&self, step: &Step) -> u64 {
        xxh3_64(self.bytes.get(..step.end).unwrap_or(&self.bytes))
    }

    /// The steps, if they are kept.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        self.steps.as_deref().unwrap_or_default()
    }

    /// The steps with their bytes.
    pub fn steps_with_bytes(&self) -> impl Iterator<Item = (&Step, &[u8])> {
        let mut start = 0;
        self.steps().iter().map(move |step| {
            let bytes = self.bytes.get(start..step.end).unwrap_or_default();
            start = step.end;
            (step, bytes)
        })
    }

    pub(crate) fn step(&mut self, at: At, reason: Reason, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ended(at, reason);
    }

    /// Bytes of the step that the next [`Transcript::step`] ends.
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn ended(&mut self, at: At, reason: Reason) {
        if let Some(steps) = &mut self.steps {
            steps.push(Step {
                section: at.section,
                offset: at.offset,
                reason,
                end: self.bytes.len(),
            });
        }
    }
}

/// A place that a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct At {
    pub(crate) section: SectionId,
    pub(crate) offset: u64,
}
