//! Whether this kernel can be given the next one.

use kimage::Packing;

use crate::finding::{Check, Finding};
use crate::running::{Lockdown, Running};
use crate::target::Target;

const NAME_A_KERNEL: &str = "name a kernel image, like /boot/vmlinuz";

pub(crate) fn all(target: &Target, running: &Running) -> Vec<Finding> {
    vec![
        scratch(target, running),
        load_limit(running),
        signature(target, running),
    ]
}

/// What `kexec_file_load` takes: on x86-64 a bzImage, on arm64 an Image
/// (`arch/*/kernel/kexec_*.c`, `machine_kexec_file.c`, v7.3).
pub(crate) fn image(target: &Target, running: &Running) -> Finding {
    let check = Check::Image;
    let kernel = match &target.kernel {
        Ok(kernel) => kernel,
        Err(error) => {
            return Finding::refused(check, error.to_string()).hint(NAME_A_KERNEL);
        }
    };
    let release = kernel.release.as_deref().unwrap_or("of an unknown release");
    let form = kernel
        .compression
        .map_or("not compressed", |form| form.name());
    let found = format!("Linux {release}, {}, {form}", kernel.packing);
    let machine = match kernel.packing {
        Packing::BzImage => "x86_64",
        Packing::Arm64Image | Packing::CompressedImage | Packing::Zboot => "aarch64",
        Packing::Elf if kernel.release.is_none() => {
            return Finding::refused(check, "an ELF file that is no kernel").hint(NAME_A_KERNEL);
        }
        Packing::Elf => {
            return Finding::refused(check, format!("{found}: kexec_file_load takes no vmlinux"))
                .hint("name the bzImage of it");
        }
    };
    if machine != running.machine {
        let message = format!(
            "{found}: a kernel for {machine}, this is {}",
            running.machine
        );
        return Finding::refused(check, message);
    }
    match kernel.packing {
        Packing::CompressedImage | Packing::Zboot => {
            let message = format!("{found}: kexec_file_load takes the Image inside only");
            Finding::refused(check, message).hint("unpack it first, and name the Image")
        }
        _ => Finding::ok(check, found),
    }
}

/// Kernel and initial RAM disk each lie in one area of scratch.
fn scratch(target: &Target, running: &Running) -> Finding {
    let check = Check::Scratch;
    let Some(areas) = &running.scratch_bytes else {
        return Finding::unknown(
            check,
            "this kernel does not show its scratch (CONFIG_KEXEC_HANDOVER_DEBUGFS)",
        );
    };
    let needed = target.kernel.as_ref().ok().and_then(|it| it.needed_bytes);
    let Some(needed) = needed else {
        return Finding::unknown(check, "how much memory it takes cannot be told");
    };
    let initrd = target.initrd.as_ref().map_or(0, |initrd| initrd.bytes);
    let mut free = areas.clone();
    let mut largest_first = [needed, initrd];
    largest_first.sort_unstable_by(|a, b| b.cmp(a));
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    for bytes in largest_first {
        let place = free.iter_mut().filter(|free| **free >= bytes).min();
        let Some(place) = place else {
            let areas: Vec<_> = areas
                .iter()
                .map(|&area| format!("{} MiB", mib(area)))
                .collect();
            let message = format!(
                "the kernel takes {} MiB and the initial RAM disk {} MiB, each in one piece; scratch is {}",
                mib(needed),
                mib(initrd),
                areas.join(" + ")
            );
            return Finding::refused(check, message).hint(
                "make scratch larger with kho_scratch= at the next cold boot, or the image smaller",
            );
        };
        *place = place.saturating_sub(bytes);
    }
    let message = format!("{} MiB and {} MiB fit", mib(needed), mib(initrd));
    Finding::ok(check, message)
}

fn load_limit(running: &Running) -> Finding {
    let check = Check::LoadLimit;
    if running.is_loading_disabled == Some(true) {
        let message = "loading a kernel is switched off (kernel.kexec_load_disabled=1)";
        return Finding::refused(check, message).hint("only a cold boot resets this");
    }
    match (running.loads_left, running.is_loading_disabled) {
        (Some(left), _) if left < 2 => {
            let message = format!(
                "{left} loads are left (kernel.kexec_load_limit_reboot); an update takes one, to cancel it another"
            );
            Finding::refused(check, message).hint("only a cold boot resets this limit")
        }
        (_, None) => Finding::unknown(check, "the limits of loading cannot be read"),
        (Some(left), _) => Finding::ok(check, format!("{left} loads are left")),
        (None, _) => Finding::ok(check, "loading is not limited"),
    }
}

/// `kexec_image_verify_sig()` (`kernel/kexec_file.c`, v7.3).
fn signature(target: &Target, running: &Running) -> Finding {
    let check = Check::Signature;
    let is_signed = target.kernel.as_ref().is_ok_and(|kernel| kernel.is_signed);
    let is_locked = match running.lockdown {
        Some(Lockdown::None) => Some(false),
        Some(Lockdown::Integrity | Lockdown::Confidentiality) => Some(true),
        None => None,
    };
    let must = running.must_be_signed == Some(true) || is_locked == Some(true);
    let why = if running.must_be_signed == Some(true) {
        "CONFIG_KEXEC_SIG_FORCE"
    } else {
        "lockdown"
    };
    match (must, is_signed) {
        (true, false) => {
            let message =
                format!("it is not signed, and this kernel takes only signed ones ({why})");
            Finding::refused(check, message)
                .hint("take a kernel signed with a key this kernel trusts")
        }
        (true, true) => {
            let message = format!(
                "it is signed; whether this kernel trusts the key shows when it is loaded ({why})"
            );
            Finding::unknown(check, message)
        }
        (false, _) if is_locked.is_none() || running.must_be_signed.is_none() => Finding::unknown(
            check,
            "whether this kernel asks for a signature cannot be told",
        ),
        (false, _) => Finding::ok(check, "this kernel asks for no signature"),
    }
}
