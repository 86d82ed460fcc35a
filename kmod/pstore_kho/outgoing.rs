//! What the next kernel gets.

// SPDX-License-Identifier: MIT OR GPL-2.0-only

use core::mem::offset_of;
use core::ptr::NonNull;

use kernel::error::{from_err_ptr, to_result};
use kernel::ffi::{c_char, c_void};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Release};

use crate::layout::{NODE_NAME, PstoreSer, RecordSer, Slot, VERSION, capacity_of};
use crate::shim;

/// Memory that the next kernel finds by [`NODE_NAME`].
///
/// # Invariants
///
/// `blob` is memory from `kho_alloc_preserve` that begins with a [`PstoreSer`] whose areas have
/// `capacity` bytes each, and all of that is in it. It is a subtree of the handover.
pub(crate) struct Outgoing {
    blob: NonNull<c_void>,
    capacity: usize,
}

// SAFETY: The memory belongs to this value alone, on whichever CPU it is.
unsafe impl Send for Outgoing {}
// SAFETY: What a shared reference can change is changed by one at a time: `store` demands it.
unsafe impl Sync for Outgoing {}

impl Outgoing {
    /// Makes a blob without records and hands it over.
    pub(crate) fn new(size: usize) -> Result<Self> {
        let capacity = capacity_of(size);
        if capacity == 0 {
            pr_err!("size={size}: there is no room for a record\n");
            return Err(EINVAL);
        }
        // SAFETY: The function takes any size.
        let memory = from_err_ptr(unsafe { shim::kho_alloc_preserve(size) })?;
        let blob = NonNull::new(memory).ok_or(ENOMEM)?;
        // SAFETY: There are `size` bytes, aligned to a page, and `capacity` is not 0, so the
        // header fits. The memory is zeroed, which is what records are when there are none.
        unsafe {
            blob.cast::<PstoreSer>().write(PstoreSer {
                version: VERSION,
                slots: Slot::COUNT as u32,
                capacity: capacity as u64,
                records: [EMPTY; Slot::COUNT],
            })
        };
        // SAFETY: The name ends with a NUL, and the memory is preserved.
        let added = unsafe { shim::kho_add_subtree(node_name(), blob.as_ptr(), size) };
        if let Err(error) = to_result(added) {
            // SAFETY: The memory is of `kho_alloc_preserve`, and nobody else knows of it.
            unsafe { shim::kho_unpreserve_free(blob.as_ptr()) };
            return Err(error);
        }
        // INVARIANT: As made above: `capacity_of` leaves room for the header.
        Ok(Self { blob, capacity })
    }

    /// Returns how many bytes a record may have.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keeps a record, unless one is there already: the first crash says more than what follows
    /// from it.
    ///
    /// # Safety
    ///
    /// No other call is under way.
    pub(crate) unsafe fn store(&self, slot: Slot, record: RecordSer, text: &[u8]) -> Result {
        let area = slot.offset(self.capacity).ok_or(EINVAL)?;
        if text.is_empty() || text.len() > self.capacity {
            return Err(EINVAL);
        }
        let at = offset_of!(PstoreSer, records) + slot.index() * size_of::<RecordSer>();
        // SAFETY: By the type invariant the header is in the memory.
        let ser = unsafe { self.blob.byte_add(at) }.cast::<RecordSer>();
        // SAFETY: As above; the type is plain integers, and the memory was initialised.
        if unsafe { ser.read() }.size != 0 {
            return Err(ENOSPC);
        }
        // SAFETY: By the type invariant `capacity` bytes from `area` on are in the memory.
        let start = unsafe { self.blob.byte_add(area) }.cast::<u8>();
        // SAFETY: The text fits, as checked, and is pstore's buffer, which is not in this memory.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(text).cast::<u8>(), text.len()) };
        // SAFETY: As for the read; the caller keeps others away.
        unsafe { ser.write(RecordSer { size: 0, ..record }) };
        // SAFETY: `size` is the first field, aligned to 8, and only used by this function.
        let size = unsafe { Atomic::from_ptr(ser.cast::<u64>().as_ptr()) };
        // A record counts from here on: whoever dies before this leaves none.
        size.store(text.len() as u64, Release);
        Ok(())
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the memory is a subtree.
        unsafe { shim::kho_remove_subtree(self.blob.as_ptr()) };
        // SAFETY: By the type invariant the memory is of `kho_alloc_preserve`; nothing refers to
        // it any more.
        unsafe { shim::kho_unpreserve_free(self.blob.as_ptr()) };
    }
}

/// No record.
const EMPTY: RecordSer = RecordSer {
    size: 0,
    time_sec: 0,
    time_nsec: 0,
    count: 0,
    reason: 0,
    part: 0,
    compressed: 0,
    reserved: 0,
};

/// [`NODE_NAME`] for C.
pub(crate) fn node_name() -> *const c_char {
    const NAME: &CStr = c"pstore-kho";
    const _: () = {
        let (with_nul, name) = (NAME.to_bytes_with_nul(), NODE_NAME.as_bytes());
        assert!(with_nul.len() == name.len() + 1);
        let mut at = 0;
        while at < name.len() {
            assert!(with_nul[at] == name[at]);
            at += 1;
        }
    };
    NAME.as_char_ptr()
}
