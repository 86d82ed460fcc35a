//! Finding room in scratch.

use alloc::vec::Vec;

use kho::{PhysAddr, ScratchAreas};

use crate::boot::Role;
use crate::error::ScratchError;
use crate::span::{Span, align_up, page_up};

/// Below it the kernel keeps real-mode code.
pub(crate) const FIRST_MIB: u64 = 1 << 20;
/// What the page tables of [`crate::elf`] map, and every pointer of `boot_params` can reach.
pub(crate) const FOUR_GIB: u64 = 1 << 32;

/// What is free in the scratch areas, in the order of the areas.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Vec<Span>,
}

impl Places {
    pub(crate) fn new(scratch: &ScratchAreas) -> Self {
        let usable = |area: &kho::Area| {
            let span = Span::new(area.addr, area.bytes)?;
            let start = span.start.max(FIRST_MIB);
            let end = span.end.min(FOUR_GIB);
            (start < end).then_some(Span { start, end })
        };
        Self {
            free: scratch.areas().iter().filter_map(usable).collect(),
        }
    }

    /// The lowest place of the first area with room. Early boot takes its memory from the top of
    /// scratch down, so the bottom is out of its way.
    pub(crate) fn take(
        &mut self,
        role: Role,
        bytes: u64,
        alignment: u64,
        limit: u64,
    ) -> Result<PhysAddr, ScratchError> {
        let bytes = page_up(bytes);
        let fits = |free: &Span| {
            let start = align_up(free.start, alignment);
            let end = start.checked_add(bytes)?;
            (end <= free.end.min(limit)).then_some(Span { start, end })
        };
        let found = self.free.iter().enumerate();
        let found = found.filter_map(|(index, free)| Some((index, *free, fits(free)?)));
        let Some((index, free, taken)) = found.into_iter().next() else {
            return Err(ScratchError::NoRoom {
                role,
                bytes,
                limit: PhysAddr(limit),
            });
        };
        let before = Span {
            start: free.start,
            end: taken.start,
        };
        let after = Span {
            start: taken.end,
            end: free.end,
        };
        let rest = [before, after].into_iter().filter(|span| span.bytes() != 0);
        self.free.splice(index..=index, rest);
        Ok(PhysAddr(taken.start))
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use kho::Area;

    use super::*;

    fn places(areas: &[(u64, u64)]) -> Places {
        let area = |&(addr, bytes): &(u64, u64)| Area {
            addr: PhysAddr(addr),
            bytes,
        };
        Places::new(&ScratchAreas::new(areas.iter().map(area).collect()))
    }

    fn take(places: &mut Places, bytes: u64, alignment: u64, limit: u64) -> Option<u64> {
        let taken = places.take(Role::Kernel, bytes, alignment, limit);
        taken.ok().map(|addr| addr.0)
    }

    #[test]
    fn the_gap_that_alignment_leaves_is_used_later() {
        let mut places = places(&[(0x10_1000, 0x40_0000)]);
        let limit = FOUR_GIB;
        assert_eq!(take(&mut places, 0x1001, 0x20_0000, limit), Some(0x20_0000));
        assert_eq!(take(&mut places, 1, 0x1000, limit), Some(0x10_1000));
        assert_eq!(take(&mut places, 0x10_0000, 0x1000, limit), Some(0x20_2000));
        assert_eq!(take(&mut places, 0x20_0000, 0x1000, limit), None);
    }

    #[test]
    fn neither_the_first_mib_nor_what_is_past_a_limit_is_used() {
        let mut places = places(&[(0, 0x10_2000), (0x18_0000, 0), (0xffff_f000, 0x10_0000)]);
        assert_eq!(take(&mut places, 0x1000, 0x1000, FOUR_GIB), Some(0x10_0000));
        assert_eq!(take(&mut places, 0x1000, 0x1000, 0x10_1fff), None);
        assert_eq!(take(&mut places, 0x2000, 0x1000, FOUR_GIB), None);
        assert_eq!(take(&mut places, 0x1000, 0x1000, FOUR_GIB), Some(0x10_1000));
        assert_eq!(
            take(&mut places, 0x1000, 0x1000, FOUR_GIB),
            Some(0xffff_f000)
        );
        assert_eq!(places.free, vec![]);
    }
}
