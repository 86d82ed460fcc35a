//! The C functions this module calls that `kernel::bindings` does not have. `shim.c` compares the
//! prototypes of those of KHO with the kernel's headers; `shim.h` has the others.

// SPDX-License-Identifier: MIT OR GPL-2.0-only

use kernel::ffi::{c_char, c_int, c_void};

/// A record as it crosses from and to C: `struct pstore_kho_view`.
#[repr(C)]
pub(crate) struct View {
    pub(crate) time_sec: i64,
    pub(crate) time_nsec: u32,
    pub(crate) count: i32,
    pub(crate) reason: u32,
    pub(crate) part: u32,
    pub(crate) compressed: u32,
    pub(crate) id: u32,
    pub(crate) text: *const c_void,
    pub(crate) size: u64,
}

const _: () = {
    assert!(size_of::<View>() == 48);
    assert!(core::mem::offset_of!(View, text) == 32);
};

extern "C" {
    // include/linux/kexec_handover.h
    fn kho_is_enabled() -> bool;
    pub(crate) fn kho_alloc_preserve(size: usize) -> *mut c_void;
    pub(crate) fn kho_unpreserve_free(mem: *mut c_void);
    pub(crate) fn kho_add_subtree(name: *const c_char, blob: *mut c_void, size: usize) -> c_int;
    pub(crate) fn kho_remove_subtree(blob: *mut c_void);
    pub(crate) fn kho_retrieve_subtree(
        name: *const c_char,
        phys: *mut u64,
        size: *mut usize,
    ) -> c_int;
    // shim.h
    pub(crate) fn pstore_kho_map(phys: u64, size: usize) -> *const c_void;
    pub(crate) fn pstore_kho_register(
        backend: *mut c_void,
        buf: *mut c_char,
        bufsize: usize,
        max_reason: c_int,
    ) -> c_int;
    pub(crate) fn pstore_kho_unregister();
}

/// Tells whether this kernel hands over anything.
pub(crate) fn is_enabled() -> bool {
    // SAFETY: The function has no conditions.
    unsafe { kho_is_enabled() }
}
