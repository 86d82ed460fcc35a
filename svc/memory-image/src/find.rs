//! Looks for handovers in an image.

use std::collections::BTreeMap;

use kho::{Location, PhysAddr, PhysMem, RootFdt, ScratchAreas};
use kho_abi::setup_data::{KhoData, SetupData, SetupType};
use zerocopy::FromBytes as _;

use crate::image::Image;

/// A handover in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where its root FDT is.
    pub root: PhysAddr,
    /// The root.
    pub fdt: RootFdt,
    /// Scratch, if the boot parameters that hand this root over are in the image: they are once the
    /// jump has copied them to their place.
    pub scratch: Option<ScratchAreas>,
}

/// Bytes that are looked at in one go.
const STEP: usize = 1 << 20;

impl Image {
    /// The handover whose root FDT is at `root`, without a search: scratch stays unknown.
    pub fn at(&self, root: PhysAddr) -> Option<Found> {
        let fdt = handover::locate(self, root)?;
        let scratch = None;
        Some(Found { root, fdt, scratch })
    }

    /// Looks for handovers: pages with a root FDT that leads to a tree. More than one is found when
    /// memory still holds what an earlier kernel handed over. Ascending.
    pub fn find(&self) -> Vec<Found> {
        self.find_watched(&mut |_done, _all| {})
    }

    /// The same; now and then `watch_fn` is told how many bytes of how many were looked at or stepped over.
    pub fn find_watched(&self, watch_fn: &mut dyn FnMut(u64, u64)) -> Vec<Found> {
        let lengths = self.ranges().iter().map(|range| range.end - range.start);
        let all = lengths.fold(0, u64::saturating_add);
        let mut before: u64 = 0;
        let mut roots = Vec::new();
        // Scratch by the root FDT it is handed over with.
        let mut handed: BTreeMap<u64, ScratchAreas> = BTreeMap::new();
        let mut buffer = vec![0; STEP];
        let page_bytes = self.page_size().bytes();
        for range in self.ranges() {
            let mut at = range.start;
            loop {
                at = self.next_data(at) & !(page_bytes as u64 - 1);
                if at >= range.end {
                    break;
                }
                watch_fn(before.saturating_add(at.saturating_sub(range.start)), all);
                let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
                let step = left.min(STEP);
                // Pages that cannot be read are stepped over one by one.
                let read = match buffer.get_mut(..step) {
                    Some(buffer) => self.read_some(at, buffer),
                    None => 0,
                };
                let read = read - read % page_bytes;
                let pages = buffer.get(..read).unwrap_or_default();
                for (page, addr) in pages
                    .chunks_exact(page_bytes)
                    .zip((at..).step_by(page_bytes))
                {
                    if let Some(fdt) = self.root_in(page, addr) {
                        roots.push((PhysAddr(addr), fdt));
                    }
                    self.handed_in(page, &mut handed);
                }
                at = at.saturating_add(u64::try_from(read.max(page_bytes)).unwrap_or(u64::MAX));
            }
            before = before.saturating_add(range.end - range.start);
        }
        roots
            .into_iter()
            .map(|(root, fdt)| Found {
                root,
                fdt,
                scratch: handed.get(&root.0).cloned(),
            })
            .collect()
    }

    fn root_in(&self, page: &[u8], addr: u64) -> Option<RootFdt> {
        if !page.starts_with(&[0xd0, 0x0d, 0xfe, 0xed]) {
            return None;
        }
        handover::locate(self, PhysAddr(addr))
    }

    /// Nodes of `setup_data` with a handover, wherever the boot parameters are.
    fn handed_in(&self, page: &[u8], handed: &mut BTreeMap<u64, ScratchAreas>) {
        // A node starts at a multiple of 8; type and length are its second word.
        let length = u32::try_from(size_of::<KhoData>()).unwrap_or(u32::MAX);
        let [kind, length] = [SetupType::KEXEC_KHO.0, length].map(u32::to_ne_bytes);
        let mut wanted = [0; 8];
        for (to, from) in wanted.iter_mut().zip(kind.into_iter().chain(length)) {
            *to = from;
        }
        for (word, bytes) in page.chunks_exact(8).enumerate() {
            if bytes != wanted {
                continue;
            }
            let payload = (word + 1) * 8;
            let payload = page.get(payload..).unwrap_or_default();
            let Ok((data, _)) = KhoData::read_from_prefix(payload) else {
                continue;
            };
            if let Some(areas) = self.scratch_of(&data) {
                handed.insert(data.fdt_addr, areas);
            }
        }
    }

    fn scratch_of(&self, data: &KhoData) -> Option<ScratchAreas> {
        let page_bytes = u64::try_from(self.page_size().bytes()).ok()?;
        if data.fdt_size != page_bytes || !data.scratch_size.is_multiple_of(16) {
            return None;
        }
        let handoff = Location::from(*data).handoff(self).ok()?;
        // Until the jump has copied the next kernel's segments to their places, nothing is there.
        let is_there = handoff.scratch.iter().any(|area| area.bytes != 0);
        is_there.then(|| ScratchAreas::new(handoff.scratch))
    }
}

const _: () = assert!(size_of::<SetupData>() == 16);
