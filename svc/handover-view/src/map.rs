//! Memory as a grid of cells.

use std::collections::BTreeMap;

use crate::model::View;

/// Cells in a grid, about.
const CELLS: u64 = 4096;
/// Smallest cell.
const PAGE_BYTES: u64 = 4096;

/// A part of memory, and how much of it belongs to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) start: u64,
    /// Bytes by owner; scratch is an owner of its own.
    pub(crate) owners: BTreeMap<&'static str, u64>,
}

/// Cells that have something in them, and how large a cell is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start: u64,
    pub(crate) cell_bytes: u64,
    pub(crate) cells: BTreeMap<u64, Cell>,
    pub(crate) count: u64,
}

impl Grid {
    pub(crate) fn of(view: &View) -> Self {
        let extents = view
            .extents
            .iter()
            .map(|extent| (extent.start, extent.bytes));
        let all = extents.chain(view.memory.iter().copied());
        let (mut start, mut end) = (u64::MAX, 0);
        for (addr, bytes) in all {
            start = start.min(addr);
            end = end.max(addr.saturating_add(bytes));
        }
        let span = end.saturating_sub(start);
        let cell_bytes = (span / CELLS).max(PAGE_BYTES);
        let cell_bytes = cell_bytes.checked_next_power_of_two().unwrap_or(1 << 63);
        let start = start.min(end) & !(cell_bytes - 1);
        let mut grid = Self {
            start,
            cell_bytes,
            cells: BTreeMap::new(),
            count: end.saturating_sub(start).div_ceil(cell_bytes),
        };
        for area in view.scratch.iter().flatten() {
            let digits = area.addr.trim_start_matches("0x");
            if let Ok(addr) = u64::from_str_radix(digits, 16) {
                grid.add(addr, area.bytes, "scratch");
            }
        }
        for extent in &view.extents {
            grid.add(extent.start, extent.bytes, extent.owner);
        }
        grid
    }

    fn add(&mut self, addr: u64, bytes: u64, owner: &'static str) {
        let end = addr.saturating_add(bytes);
        let end = end.min(
            self.start
                .saturating_add(self.count.saturating_mul(self.cell_bytes)),
        );
        let mut at = addr.max(self.start);
        while at < end {
            let index = (at - self.start) / self.cell_bytes;
            let cell_start = self.start + index * self.cell_bytes;
            let next = cell_start.saturating_add(self.cell_bytes).min(end);
            let cell = self.cells.entry(index).or_default();
            cell.start = cell_start;
            *cell.owners.entry(owner).or_default() += next - at;
            at = next;
        }
    }
}
