//! The backend: reads what came in, writes what goes out, and is registered with pstore.

// SPDX-License-Identifier: MIT OR GPL-2.0-only

use core::slice;

use kernel::error::{from_result, to_result};
use kernel::ffi::{c_int, c_void};
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

use crate::incoming::{self, Shown};
use crate::layout::{Blob, Reason, Record, RecordSer, Slot};
use crate::outgoing::Outgoing;
use crate::shim::{self, View};

/// The previous kernel's records and the next one's.
struct Backend {
    incoming: Option<Blob<'static>>,
    /// Absent when it could not be made: what came in can be read all the same.
    outgoing: Option<Outgoing>,
    /// Which slot pstore gets next. pstore serializes its readers (`read_mutex`).
    next: Atomic<u32>,
}

impl Backend {
    /// The next record that came in; one that is wrong is told and passed over.
    fn next(&self) -> Option<(Slot, Record<'static>)> {
        let blob = self.incoming?;
        loop {
            let at = self.next.load(Relaxed);
            let slot = *Slot::ALL.get(at as usize)?;
            self.next.store(at + 1, Relaxed);
            match blob.record(slot) {
                Ok(Some(record)) => return Some((slot, record)),
                Ok(None) => {}
                Err(error) => pr_warn!("{slot:?} record: refused: {}\n", Shown(&error)),
            }
        }
    }

    /// How large pstore's buffer has to be: what it fills must fit into a record.
    fn bufsize(&self) -> usize {
        let outgoing = self.outgoing.as_ref().map(Outgoing::capacity);
        // Nothing is written then, but pstore inflates records up to three times this size.
        let incoming = || self.incoming.as_ref().map(Blob::capacity);
        outgoing.or_else(incoming).unwrap_or(PAGE_SIZE)
    }
}

/// A backend that pstore knows; it is forgotten on drop.
pub(crate) struct Registration {
    // Both go after the drop below, when nobody uses them any more.
    _backend: KBox<Backend>,
    _buffer: KVVec<u8>,
}

impl Registration {
    /// Looks for what came in, prepares what goes out and registers the two.
    ///
    /// Either is enough: records of the previous kernel can be read without room for new ones.
    pub(crate) fn new(size: usize, max_reason: u32) -> Result<Self> {
        let incoming = incoming::find();
        let outgoing = match Outgoing::new(size) {
            Ok(outgoing) => Some(outgoing),
            Err(error) if incoming.is_some() => {
                pr_warn!("nothing will be kept for the next kernel: {error:?}\n");
                None
            }
            Err(error) => return Err(error),
        };
        let next = Atomic::new(0);
        let backend = Backend {
            incoming,
            outgoing,
            next,
        };
        let bufsize = backend.bufsize();
        let mut buffer = KVVec::from_elem(0_u8, bufsize, GFP_KERNEL)?;
        let backend = KBox::new(backend, GFP_KERNEL)?;
        let data = core::ptr::from_ref::<Backend>(&backend).cast_mut();
        // SAFETY: Backend and buffer are on the heap and stay where they are until the drop of what
        // is returned, which unregisters first. pstore writes only to the buffer, and as many
        // bytes as it is told.
        let registered = unsafe {
            shim::pstore_kho_register(
                data.cast::<c_void>(),
                buffer.as_mut_ptr().cast(),
                bufsize,
                max_reason as c_int,
            )
        };
        to_result(registered)?;
        backend.announce();
        Ok(Self {
            _backend: backend,
            _buffer: buffer,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: It is registered, and was once. After the call pstore uses neither backend nor
        // buffer.
        unsafe { shim::pstore_kho_unregister() };
    }
}

impl Backend {
    fn announce(&self) {
        if let Some(blob) = &self.incoming {
            let are_there = |slot| matches!(blob.record(slot), Ok(Some(_)));
            let count = Slot::ALL
                .into_iter()
                .filter(|slot| are_there(*slot))
                .count();
            pr_info!("records of the previous kernel: {count}\n");
        }
        if let Some(outgoing) = &self.outgoing {
            pr_info!(
                "records of up to {} bytes for the next one\n",
                outgoing.capacity()
            );
        }
    }
}

/// Begins a reading of all records.
///
/// # Safety
///
/// `backend` is what was registered.
#[no_mangle]
unsafe extern "C" fn pstore_kho_rewind(backend: *const c_void) {
    // SAFETY: As demanded; it lives as long as it is registered, and is only shared.
    let backend = unsafe { &*backend.cast::<Backend>() };
    backend.next.store(0, Relaxed);
}

/// Gives the next record: 1, or 0 when there is none.
///
/// # Safety
///
/// `backend` is what was registered, and `view` can be written.
#[no_mangle]
unsafe extern "C" fn pstore_kho_next(backend: *const c_void, view: *mut View) -> c_int {
    // SAFETY: As demanded; it lives as long as it is registered, and is only shared.
    let backend = unsafe { &*backend.cast::<Backend>() };
    let Some((slot, record)) = backend.next() else {
        return 0;
    };
    let ser = record.ser();
    let found = View {
        time_sec: ser.time_sec,
        time_nsec: ser.time_nsec,
        count: ser.count,
        reason: ser.reason,
        part: ser.part,
        compressed: ser.compressed,
        id: slot.index() as u32,
        text: record.text().as_ptr().cast(),
        size: ser.size,
    };
    // SAFETY: As demanded.
    unsafe { view.write(found) };
    1
}

/// Keeps a record for the next kernel.
///
/// # Safety
///
/// `backend` is what was registered, `view` can be read, its text has `size` bytes, and no other
/// call is under way: pstore holds `buf_lock`.
#[no_mangle]
unsafe extern "C" fn pstore_kho_store(backend: *const c_void, view: *const View) -> c_int {
    // SAFETY: As demanded; it lives as long as it is registered, and is only shared.
    let backend = unsafe { &*backend.cast::<Backend>() };
    // SAFETY: As demanded.
    let view = unsafe { &*view };
    from_result(|| {
        let outgoing = backend.outgoing.as_ref().ok_or(ENODEV)?;
        let slot = Reason(view.reason).slot().ok_or(EINVAL)?;
        // SAFETY: As demanded; pstore's buffer does not change under its lock.
        let text = unsafe { slice::from_raw_parts(view.text.cast::<u8>(), view.size as usize) };
        let record = RecordSer {
            size: 0,
            time_sec: view.time_sec,
            time_nsec: view.time_nsec,
            count: view.count,
            reason: view.reason,
            part: view.part,
            compressed: view.compressed,
            reserved: 0,
        };
        // SAFETY: As demanded: no other call is under way.
        unsafe { outgoing.store(slot, record, text)? };
        Ok(0)
    })
}
