//! An archive that comes piece by piece, by the same states as one that is there as a whole; contents
//! of files pass, and only what is needed of the rest is kept.

use alloc::vec::Vec;

use super::cpio::{Failed, HEADER, Header, Whole, add_up, name_field};
use super::{Refusal, Seen};

/// What comes next.
enum State {
    /// Zeros, or a header.
    Between,
    /// The rest of a header.
    Header,
    /// The rest of a name, and of where a link leads.
    Name(Header),
    /// The rest of a content.
    Content {
        header: Header,
        left: usize,
        sum: u32,
    },
    /// Padding behind a content.
    Padding,
}

/// A reader of pieces.
pub(super) struct Passing {
    state: State,
    /// Header, name and target of the entry that is being read.
    kept: Vec<u8>,
    /// Where the entry starts.
    start: usize,
    /// Bytes that came.
    at: usize,
    failed: Option<Failed>,
}

impl Passing {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Between,
            kept: Vec::new(),
            start: 0,
            at: 0,
            failed: None,
        }
    }

    /// Takes the next piece; after an error, nothing more.
    pub(super) fn push(&mut self, mut piece: &[u8], seen: &mut dyn FnMut(Seen<'_>)) {
        while !piece.is_empty() && self.failed.is_none() {
            match self.step(piece, seen) {
                Ok(used) => {
                    self.at = self.at.saturating_add(used);
                    piece = piece.get(used..).unwrap_or_default();
                }
                Err(failed) => self.failed = Some(failed),
            }
        }
    }

    /// Everything came.
    pub(super) fn finish(self) -> Result<(), Failed> {
        match (self.failed, self.state) {
            (Some(failed), _) => Err(failed),
            (None, State::Between | State::Padding) => Ok(()),
            (None, _) => Err((self.at, Refusal::Cut)),
        }
    }

    /// One state as far as the piece goes; says how much of it was used.
    fn step(&mut self, piece: &[u8], seen: &mut dyn FnMut(Seen<'_>)) -> Result<usize, Failed> {
        match &mut self.state {
            State::Between => self.between(piece),
            State::Padding => {
                // As with a whole archive, padding is not looked at.
                let pad = self.at.next_multiple_of(4).saturating_sub(self.at);
                if pad <= piece.len() {
                    self.state = State::Between;
                }
                Ok(pad.min(piece.len()))
            }
            State::Header => {
                let used = keep(&mut self.kept, piece, HEADER);
                if self.kept.len() == HEADER {
                    let header = Header::read(&self.kept).map_err(|why| (self.start, why))?;
                    self.state = State::Name(header);
                }
                Ok(used)
            }
            State::Name(header) => {
                let header = *header;
                let target = if header.is_link() {
                    header.body_bytes
                } else {
                    0
                };
                let name = name_field(header.name_bytes);
                // A name that is too long is skipped: as much of it as counts is kept.
                let wanted = HEADER.saturating_add(name).saturating_add(target);
                let used = keep(&mut self.kept, piece, wanted);
                if self.kept.len() == wanted {
                    self.state = State::Content {
                        left: header.body_bytes.saturating_sub(target),
                        header,
                        sum: 0,
                    };
                    if target == header.body_bytes {
                        self.tell(seen, used)?;
                    }
                }
                Ok(used)
            }
            State::Content { header, left, sum } => {
                let used = piece.len().min(*left);
                if header.is_summed {
                    *sum = add_up(*sum, piece.get(..used).unwrap_or_default());
                }
                *left = left.saturating_sub(used);
                if *left == 0 {
                    self.tell(seen, used)?;
                }
                Ok(used)
            }
        }
    }

    fn between(&mut self, piece: &[u8]) -> Result<usize, Failed> {
        let zeros = piece.iter().position(|&byte| byte != 0);
        let zeros = zeros.unwrap_or(piece.len());
        let Some(&next) = piece.get(zeros) else {
            return Ok(zeros);
        };
        let at = self.at.saturating_add(zeros);
        if !at.is_multiple_of(4) {
            return Err((at, Refusal::BrokenPadding));
        }
        if next != b'0' {
            return Err((at, Refusal::JunkWithin { found: next }));
        }
        self.start = at;
        self.kept.clear();
        self.state = State::Header;
        Ok(zeros)
    }

    /// An entry whose last bytes are the next `used`.
    fn tell(&mut self, seen: &mut dyn FnMut(Seen<'_>), used: usize) -> Result<(), Failed> {
        let State::Content { header, sum, .. } = &self.state else {
            return Ok(());
        };
        let (header, sum) = (*header, *sum);
        self.state = State::Padding;
        let name = name_field(header.name_bytes);
        let rest = self.kept.get(HEADER..).unwrap_or_default();
        let (name, content) = rest.split_at_checked(name).unwrap_or((rest, &[]));
        let end = self.at.saturating_add(used);
        let whole = Whole {
            start: self.start,
            header: &header,
            name,
            content,
            content_offset: end.saturating_sub(header.body_bytes),
            sum: header.is_summed.then_some(sum),
        };
        whole.tell(seen)
    }
}

/// Keeps bytes until there are `wanted`; says how many it took.
fn keep(kept: &mut Vec<u8>, piece: &[u8], wanted: usize) -> usize {
    let used = wanted.saturating_sub(kept.len()).min(piece.len());
    kept.extend_from_slice(piece.get(..used).unwrap_or_default());
    used
}
