//! All FLBs: their counts, and the page in which they are handed over.

use alloc::boxed::Box;
use alloc::vec::Vec;

use kho::{Kho, KhoError, KhoMem, PageSize, PhysAddr};
use kho_abi::luo::{FLB_COMPATIBLE_LENGTH, FLB_PAGE_COUNT, FlbHeaderSer, FlbSer};

use super::{Flb, FlbId, FlbState};
use crate::defects::Defects;
use crate::errno::Errno;

/// `refcount_t`: it does not come back from below zero (`include/linux/refcount.h`, v7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Of(u64),
    Saturated,
}

impl Count {
    fn increment(&mut self) {
        if let Self::Of(count) = self {
            *count = count.saturating_add(1);
        }
    }

    /// Whether it dropped to zero.
    fn decrement(&mut self) -> bool {
        *self = match *self {
            Self::Of(count) => count.checked_sub(1).map_or(Self::Saturated, Self::Of),
            Self::Saturated => Self::Saturated,
        };
        *self == Self::Of(0)
    }
}

struct Outgoing {
    count: Count,
    state: FlbState,
}

struct Incoming {
    count: Count,
    state: FlbState,
    /// The count is that of the handover.
    counted: bool,
    /// As `retrieve_status`: `None` before the attempt.
    retrieved: Option<Result<(), Errno>>,
    finished: bool,
}

struct Slot<M> {
    flb: Box<dyn Flb<M>>,
    users: usize,
    outgoing: Outgoing,
    incoming: Incoming,
}

/// All FLBs.
pub(crate) struct Flbs<M> {
    slots: Vec<Slot<M>>,
    /// Those linked to a handler, in the order they were linked first.
    registered: Vec<FlbId>,
    /// Where the page of the next kernel's FLBs is.
    page_out: Option<PhysAddr>,
    /// What was received: names and their entries.
    received: Option<Vec<FlbSer>>,
}

/// FLBs that fit in the page.
pub(crate) fn capacity(page_size: PageSize) -> usize {
    let room = page_size.bytes().saturating_sub(size_of::<FlbHeaderSer>());
    room.checked_div(size_of::<FlbSer>()).unwrap_or(0)
}

/// A name in its field, cut to leave a NUL.
pub(crate) fn padded<const LEN: usize>(name: &str) -> [u8; LEN] {
    let mut field = [0; LEN];
    let room = LEN.saturating_sub(1);
    let to = field.iter_mut().take(room);
    to.zip(name.as_bytes()).for_each(|(to, &from)| *to = from);
    field
}

/// The name in a field.
pub(crate) fn unpadded(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn entry_at(page: PhysAddr, index: usize) -> Option<PhysAddr> {
    let offset = index.checked_mul(size_of::<FlbSer>())?;
    let offset = offset.checked_add(size_of::<FlbHeaderSer>())?;
    page.checked_add(u64::try_from(offset).ok()?)
}

impl<M: KhoMem> Flbs<M> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            registered: Vec::new(),
            page_out: None,
            received: None,
        }
    }

    /// `luo_flb_setup_outgoing()`.
    pub(crate) fn setup_outgoing(&mut self, kho: &mut Kho<M>) -> Result<PhysAddr, KhoError> {
        let bytes = kho.memory().page_size().bytes();
        let page = kho.alloc_preserve(u64::try_from(bytes).unwrap_or(u64::MAX))?;
        let header = FlbHeaderSer {
            pgcnt: FLB_PAGE_COUNT,
            count: 0,
        };
        kho.memory_mut().write_value(page, &header)?;
        self.page_out = Some(page);
        Ok(page)
    }

    /// `luo_flb_setup_incoming()`. Unlike Linux, which reads on, it reads what fits in the page.
    pub(crate) fn setup_incoming(
        &mut self,
        kho: &mut Kho<M>,
        page: PhysAddr,
        defects: Defects,
    ) -> Result<(), KhoError> {
        if page.0 == 0 {
            return Ok(());
        }
        let header: FlbHeaderSer = kho.memory().read_value(page)?;
        let limit = capacity(kho.memory().page_size());
        let count = usize::try_from(header.count).unwrap_or(limit).min(limit);
        let mut entries = Vec::new();
        for at in (0..count).map_while(|index| entry_at(page, index)) {
            entries.push(kho.memory().read_value(at)?);
        }
        self.received = Some(entries);
        if !defects.keeps_flb_page {
            // A page that nobody preserved is none's to give back.
            kho.restore_free(page).ok();
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, flb: Box<dyn Flb<M>>) -> FlbId {
        let id = FlbId(self.slots.len());
        self.slots.push(Slot {
            flb,
            users: 0,
            outgoing: Outgoing {
                count: Count::Of(0),
                state: FlbState::default(),
            },
            incoming: Incoming {
                count: Count::Of(0),
                state: FlbState::default(),
                counted: false,
                retrieved: None,
                finished: false,
            },
        });
        id
    }

    /// One more handler depends on it.
    pub(crate) fn register(&mut self, id: FlbId, limit: usize) -> Result<(), Errno> {
        let slot = self.slots.get(id.0).ok_or(Errno::EINVAL)?;
        if slot.users == 0 {
            if self.registered.len() == limit {
                return Err(Errno::ENOSPC);
            }
            let name = slot.flb.compatible();
            let taken = |it: &&FlbId| {
                self.slots
                    .get(it.0)
                    .is_some_and(|it| it.flb.compatible() == name)
            };
            if self.registered.iter().any(|it| taken(&it)) {
                return Err(Errno::EEXIST);
            }
            self.registered.push(id);
        }
        if let Some(slot) = self.slots.get_mut(id.0) {
            slot.users = slot.users.saturating_add(1);
        }
        Ok(())
    }

    /// `luo_flb_file_preserve_one()`.
    pub(crate) fn preserve(&mut self, kho: &mut Kho<M>, id: FlbId) -> Result<(), Errno> {
        let slot = self.slots.get_mut(id.0).ok_or(Errno::EINVAL)?;
        if slot.outgoing.count == Count::Of(0) {
            if slot.flb.is_module_going() {
                return Err(Errno::ENODEV);
            }
            slot.outgoing.state = slot.flb.preserve(kho)?;
        }
        slot.outgoing.count.increment();
        Ok(())
    }

    /// `liveupdate_flb_put_outgoing()`.
    pub(crate) fn put_outgoing(&mut self, kho: &mut Kho<M>, id: FlbId) {
        let Some(slot) = self.slots.get_mut(id.0) else {
            return;
        };
        if slot.outgoing.count.decrement() {
            let state = core::mem::take(&mut slot.outgoing.state);
            slot.flb.unpreserve(kho, state);
        }
    }

    /// `liveupdate_flb_get_outgoing()`.
    pub(crate) fn get_outgoing(&mut self, id: FlbId) -> Result<u64, Errno> {
        let slot = self.slots.get_mut(id.0).ok_or(Errno::ENOENT)?;
        if slot.outgoing.state.obj == 0 {
            return Err(Errno::ENOENT);
        }
        slot.outgoing.count.increment();
        Ok(slot.outgoing.state.obj)
    }

    /// `liveupdate_flb_get_incoming()`.
    pub(crate) fn get_incoming(&mut self, kho: &mut Kho<M>, id: FlbId) -> Result<u64, Errno> {
        let slot = self.slots.get_mut(id.0).ok_or(Errno::ENOENT)?;
        if slot.incoming.state.obj == 0 {
            slot.retrieve(kho, self.received.as_deref())?;
        }
        slot.incoming.count.increment();
        Ok(slot.incoming.state.obj)
    }

    /// `liveupdate_flb_put_incoming()` by somebody who got it.
    pub(crate) fn put_incoming(&mut self, kho: &mut Kho<M>, id: FlbId) {
        if let Some(slot) = self.slots.get_mut(id.0) {
            slot.put_incoming(kho, self.received.as_deref());
        }
    }

    /// `liveupdate_flb_put_incoming()` for a file that is finished.
    pub(crate) fn file_finished(&mut self, kho: &mut Kho<M>, id: FlbId, defects: Defects) {
        let Some(slot) = self.slots.get_mut(id.0) else {
            return;
        };
        let received = self.received.as_deref();
        if !defects.unused_flb_underflows && !slot.incoming.counted {
            match slot.find(received) {
                Some(entry) => slot.take_count(&entry),
                // It was not handed over, so nothing of it is to be given up.
                None => return,
            }
        }
        slot.put_incoming(kho, received);
    }

    /// `luo_flb_serialize()`.
    pub(crate) fn serialize(&self, kho: &mut Kho<M>) -> Result<(), KhoError> {
        let Some(page) = self.page_out else {
            return Ok(());
        };
        let mut entries = 0_usize;
        for slot in self.registered.iter().filter_map(|id| self.slots.get(id.0)) {
            let Count::Of(count @ 1..) = slot.outgoing.count else {
                continue;
            };
            let entry = FlbSer {
                name: padded::<FLB_COMPATIBLE_LENGTH>(slot.flb.compatible()),
                data: slot.outgoing.state.data,
                count,
            };
            if let Some(at) = entry_at(page, entries) {
                kho.memory_mut().write_value(at, &entry)?;
                entries = entries.saturating_add(1);
            }
        }
        let header = FlbHeaderSer {
            pgcnt: FLB_PAGE_COUNT,
            count: u64::try_from(entries).unwrap_or(0),
        };
        Ok(kho.memory_mut().write_value(page, &header)?)
    }
}

impl<M: KhoMem> Slot<M> {
    fn find(&self, received: Option<&[FlbSer]>) -> Option<FlbSer> {
        let name = self.flb.compatible().as_bytes();
        let same = |entry: &&FlbSer| unpadded(&entry.name) == name;
        received?.iter().find(same).copied()
    }

    fn take_count(&mut self, entry: &FlbSer) {
        self.incoming.state.data = entry.data;
        self.incoming.count = Count::Of(entry.count);
        self.incoming.counted = true;
    }

    /// `luo_flb_retrieve_one()`.
    fn retrieve(&mut self, kho: &mut Kho<M>, received: Option<&[FlbSer]>) -> Result<(), Errno> {
        if self.incoming.finished {
            return Err(Errno::ENODATA);
        }
        if let Some(status) = self.incoming.retrieved {
            return status;
        }
        if received.is_none() {
            return Err(Errno::ENODATA);
        }
        let entry = self.find(received).ok_or(Errno::ENOENT)?;
        // The count of files finished since is not lost, which it is in Linux: there nothing
        // counts before this.
        if !self.incoming.counted || self.incoming.count == Count::Saturated {
            self.take_count(&entry);
        }
        if self.flb.is_module_going() {
            return Err(Errno::ENODEV);
        }
        let retrieved = self.flb.retrieve(kho, entry.data);
        self.incoming.retrieved = Some(retrieved.map(|_| ()));
        self.incoming.state.obj = retrieved?;
        Ok(())
    }

    fn put_incoming(&mut self, kho: &mut Kho<M>, received: Option<&[FlbSer]>) {
        if !self.incoming.count.decrement() {
            return;
        }
        if self.incoming.retrieved != Some(Ok(())) && self.retrieve_dropped(kho, received).is_err()
        {
            return;
        }
        let state = core::mem::take(&mut self.incoming.state);
        self.flb.finish(kho, state.obj);
        self.incoming.finished = true;
    }

    /// Nobody wanted it: it is retrieved only to be finished.
    fn retrieve_dropped(
        &mut self,
        kho: &mut Kho<M>,
        received: Option<&[FlbSer]>,
    ) -> Result<(), Errno> {
        let answer = self.retrieve(kho, received);
        self.incoming.count = Count::Of(0);
        answer
    }
}
