//! What the previous kernel left.

// SPDX-License-Identifier: MIT OR GPL-2.0-only

use core::slice;

use kernel::error::to_result;
use kernel::prelude::*;

use crate::layout::{Blob, NODE_NAME};
use crate::outgoing::node_name;
use crate::shim;

/// Finds the previous kernel's records; `None` when there are none that can be read.
///
/// Their memory stays preserved and is never given back: the module may be unloaded and loaded
/// again, and finds them again.
pub(crate) fn find() -> Option<Blob<'static>> {
    let (mut phys, mut size) = (0, 0);
    // SAFETY: The name ends with a NUL, and both pointers are to locals.
    let found = unsafe { shim::kho_retrieve_subtree(node_name(), &mut phys, &mut size) };
    match to_result(found) {
        Ok(()) => {}
        // The previous kernel had no such module, or there was none.
        Err(error) if error == ENOENT => return None,
        Err(error) => {
            pr_warn!("{NODE_NAME}: the handover names no memory: {error:?}\n");
            return None;
        }
    }
    // SAFETY: The function has no conditions.
    let start = unsafe { shim::pstore_kho_map(phys, size) };
    if start.is_null() {
        pr_warn!("{NODE_NAME}: {size} bytes at {phys:#x} cannot be a handed over blob\n");
        return None;
    }
    // SAFETY: `pstore_kho_map` returned where these bytes are mapped, all of them memory. They are
    // preserved, and nobody restores or frees them, so nothing writes to them as long as this
    // kernel runs: KHO keeps preserved memory from the allocators. A handover that names memory it
    // did not preserve makes this the wrong text, not a wrong address.
    let bytes = unsafe { slice::from_raw_parts(start.cast::<u8>(), size) };
    match Blob::parse(bytes) {
        Ok(blob) => Some(blob),
        Err(error) => {
            pr_warn!("{NODE_NAME}: refused: {}\n", Shown(&error));
            None
        }
    }
}

/// Shows an error of the layout, which is not the kernel's to show.
pub(crate) struct Shown<'a, T>(pub(crate) &'a T);

impl<T: core::fmt::Display> kernel::fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self.0, f)
    }
}
