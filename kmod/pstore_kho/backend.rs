//! A pstore backend over kexec handover: what a kernel said last, for the next one to show.
//!
//! | file | what it has |
//! |---|---|
//! | `layout` | the handed over bytes and their only reader, of the crate `kho-abi` |
//! | `incoming`, `outgoing` | what the previous kernel left, what the next one gets |
//! | `records` | the two as one backend, and its registration with pstore |
//! | `shim` | the C functions there are no bindings for |

// SPDX-License-Identifier: MIT OR GPL-2.0-only

use core::borrow::Borrow;

use kernel::prelude::*;

mod incoming;
#[path = "../../abi/kho-abi/src/pstore.rs"]
pub mod layout;
mod outgoing;
mod records;
mod shim;

module! {
    type: PstoreKho,
    name: "pstore_kho",
    authors: ["The liveupdate authors"],
    description: "pstore backend over kexec handover",
    license: "Dual MIT/GPL",
    params: {
        max_reason: u32 {
            default: 2,
            description: "Highest reason that is kept: 1 panic, 2 oops, 3 emergency, 4 shutdown; \
                          0 asks printk.always_kmsg_dump",
        },
        size: usize {
            default: 0x20000,
            description: "Bytes for the next kernel: both records and their header",
        },
    },
}

struct PstoreKho {
    _registration: records::Registration,
}

impl kernel::Module for PstoreKho {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let max_reason: u32 = parameter(module_parameters::max_reason.value());
        if max_reason > layout::Reason::SHUTDOWN.0 {
            pr_err!("max_reason={max_reason}: 4 is the highest there is\n");
            return Err(EINVAL);
        }
        // KHO warns with a stack trace when it is used while it is off.
        if !shim::is_enabled() {
            pr_info!("kexec handover is off: there is nothing to keep records in\n");
            return Err(ENODEV);
        }
        let size: usize = parameter(module_parameters::size.value());
        let _registration = records::Registration::new(size, max_reason)?;
        Ok(Self { _registration })
    }
}

/// Takes the value of a parameter, which Linux 7.2 gives by reference and 7.3 by value.
fn parameter<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}
