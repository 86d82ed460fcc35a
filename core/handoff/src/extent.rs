//! Segments that touch, as one.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use crate::boot::{Role, Segment};
use crate::span::Span;

/// Segments without a gap between them, ascending.
#[derive(Clone, Debug)]
pub(crate) struct Extent<'s> {
    pub(crate) span: Span,
    parts: Vec<(u64, &'s [u8])>,
}

impl<'s> Extent<'s> {
    /// Joins segments that touch, but for those of one role.
    pub(crate) fn join(segments: &'s [Segment<'_>], without: Option<Role>) -> Vec<Self> {
        let wanted = segments
            .iter()
            .filter(|segment| Some(segment.role) != without);
        let mut sorted: Vec<_> = wanted.collect();
        sorted.sort_unstable_by_key(|segment| segment.addr);
        let mut all: Vec<Self> = Vec::new();
        for segment in sorted {
            let Some(span) = Span::new(segment.addr, segment.len_bytes) else {
                continue;
            };
            let next = Self {
                span,
                parts: Vec::from([(span.start, &*segment.bytes)]),
            };
            match all.last_mut() {
                Some(last) if last.span.end == span.start => last.append(next),
                _ => all.push(next),
            }
        }
        all
    }

    /// Puts a later extent behind this one; zeros between them.
    pub(crate) fn append(&mut self, later: Self) {
        self.span.end = later.span.end;
        self.parts.extend(later.parts);
    }

    /// Bytes up to the last one that has content.
    pub(crate) fn content_bytes(&self) -> u64 {
        let end = |(addr, bytes): &(u64, &[u8])| {
            let used = if bytes.is_empty() {
                self.span.start
            } else {
                *addr
            };
            used.saturating_add(crate::span::length(bytes))
        };
        let end = self.parts.iter().map(end).max().unwrap_or(self.span.start);
        end.saturating_sub(self.span.start)
    }

    /// Each part with content: its distance from the extent's start, and the bytes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (u64, &'s [u8])> {
        let start = self.span.start;
        self.parts
            .iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(move |&(addr, bytes)| (addr.saturating_sub(start), bytes))
    }

    /// The content in one piece; `None` when it is more than this machine can address.
    pub(crate) fn content(&self) -> Option<Cow<'s, [u8]>> {
        if let [(_, bytes)] = *self.parts {
            return Some(bytes.into());
        }
        let mut content = vec![0; usize::try_from(self.content_bytes()).ok()?];
        for (offset, bytes) in self.parts() {
            let offset = usize::try_from(offset).ok()?;
            let end = offset.checked_add(bytes.len())?;
            content.get_mut(offset..end)?.copy_from_slice(bytes);
        }
        Some(content.into())
    }
}
