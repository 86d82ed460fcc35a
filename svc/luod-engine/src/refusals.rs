//! Errors of the layers below as refusals: the same cause, a code, and what to do.

use kexec_sys::{Error as KexecError, LoadError};
use luo_sys::{Call, Error as LuoError, absence, holder};
use luod_api::{Code, Refusal};
use running_kernel::Sources;
use rustix::io::Errno;

use crate::host::LoadRequest;

/// A failed call to `/dev/liveupdate`.
pub(crate) fn luo(error: LuoError) -> Refusal {
    match (error.call(), error.errno()) {
        (Call::Open, Errno::NOENT) => Refusal::new(Code::NoLiveUpdate, absence::diagnose()),
        (Call::Open, Errno::BUSY) => device_busy(),
        (Call::Open, Errno::IO) => Refusal::new(Code::HandoverUnreadable, error),
        (Call::Open, Errno::ACCESS | Errno::PERM) => {
            Refusal::new(Code::PermissionDenied, error).with_hint("run luod as root")
        }
        (Call::PreserveFd, Errno::NOENT | Errno::BUSY | Errno::FBIG | Errno::OPNOTSUPP) => {
            Refusal::new(Code::NotPreservable, error)
        }
        _ => Refusal::new(Code::Kernel, error),
    }
}

fn device_busy() -> Refusal {
    let holders = holder::find_device_holders();
    let who = match holders.as_slice() {
        [] => "a program that cannot be seen from here".to_owned(),
        some => some
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    Refusal::new(
        Code::DeviceBusy,
        format!("/dev/liveupdate is kept open by {who}"),
    )
    .with_hint("end it or let it close the device, then try again")
}

/// A failed load.
pub(crate) fn load(error: LoadError, request: &LoadRequest) -> Refusal {
    match error.errno() {
        Errno::ADDRNOTAVAIL => Refusal::new(Code::ImageRefused, no_room(request))
            .with_hint("use a smaller initrd, or cold-boot this host with a larger kho_scratch="),
        Errno::PERM => Refusal::new(Code::PermissionDenied, error),
        _ => Refusal::new(Code::ImageRefused, error)
            .with_hint("nothing was changed; give a kernel image this host can boot"),
    }
}

fn no_room(request: &LoadRequest) -> String {
    let initrd = request
        .initrd
        .as_ref()
        .map_or(0, kexec_sys::SealedImage::len_bytes);
    let kernel = request.kernel.len_bytes();
    let scratch = match Sources::default().scratch_bytes() {
        Some(areas) => {
            let areas: Vec<_> = areas
                .iter()
                // The area for memory outside of every node is empty as a rule.
                .filter(|bytes| **bytes > 0)
                .map(|bytes| format!("{} MiB", bytes >> 20))
                .collect();
            format!("scratch areas of {}", areas.join(" + "))
        }
        None => "the KHO scratch areas".to_owned(),
    };
    format!(
        "the next kernel does not fit into {scratch}: kernel {} MiB, initrd {} MiB, each in one piece and the kernel unpacked",
        kernel >> 20,
        initrd >> 20
    )
}

/// Any other failure around kexec.
pub(crate) fn kexec(error: &KexecError) -> Refusal {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Refusal::new(Code::Kernel, text)
}
